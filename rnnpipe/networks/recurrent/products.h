// Matrix products of a few rows by packed panels, once for each precision: fused.c includes this
// file with ELEMENT, STEP, MULTIPLY_ADD, NATURAL, ACROSS and NAMED defined.
//
// An element holds STEP neighbouring terms of a sum: one float, or two bfloat16 whose products
// one instruction adds to a float. Sums are float32, and always over k in rising order, so a
// row's result depends on no other row.

// C[rows, PANEL] = start + A[rows, k] B[k, PANEL]; a_row, a_k and b_k are strides in elements.
static inline __attribute__((always_inline)) void NAMED(tile)(
    const int rows, const ELEMENT *a, const long a_row, const long a_k, const ELEMENT *b,
    const long b_k, const long k, const float *start, const long start_row, float *c,
    const long c_row) {
  vec sums[ROWS][GROUPS];
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int g = 0; g < GROUPS; g++) sums[r][g] = load(start + r * start_row + g * LANES);
  for (long p = 0; p < k; p++) {
    vec right[GROUPS];
#pragma GCC unroll 4
    for (int g = 0; g < GROUPS; g++) right[g] = load((const float *)(b + p * b_k) + g * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
      for (int g = 0; g < GROUPS; g++)
        sums[r][g] = MULTIPLY_ADD(sums[r][g], a[r * a_row + p * a_k], right[g]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int g = 0; g < GROUPS; g++) store(c + r * c_row + g * LANES, sums[r][g]);
}

#define TILE(n) \
  case n: \
    NAMED(tile)(n, a, a_row, a_k, b, b_k, k, start, start_row, c, c_row); \
    break;

// The same for any number of rows, in tiles of nearly equal height.
static inline __attribute__((always_inline)) void NAMED(block)(
    long rows, const ELEMENT *a, const long a_row, const long a_k, const ELEMENT *b,
    const long b_k, const long k, const float *start, const long start_row, float *c,
    const long c_row) {
  for (long tiles = (rows + ROWS - 1) / ROWS; tiles > 0; tiles--) {
    const long height = (rows + tiles - 1) / tiles;
    switch (height) {
      TILE(1)
      TILE(2)
      TILE(3)
      TILE(4)
#if ROWS > 4
      TILE(5)
      TILE(6)
#endif
    }
    rows -= height;
    a += height * a_row;
    start += height * start_row;
    c += height * c_row;
  }
}
#undef TILE

// C[rows, panels * PANEL] = start + A B, with A row by row and B packed by panels. Each panel
// takes only the terms that may differ from zero.
static void NAMED(multiply)(long rows, const ELEMENT *a, long a_row, const ELEMENT *packed, long k,
                            long panels, const Span *spans, const float *start, float *c,
                            long c_row) {
  for (long panel = 0; panel < panels; panel++) {
    const long from = spans[panel].from / STEP, to = spans[panel].to / STEP;
    NAMED(block)(rows, a + from, a_row, 1, packed + (panel * k + from) * PANEL, PANEL, to - from,
                 start + panel * PANEL, 0, c + panel * PANEL, c_row);
  }
}

// C[m, columns] += A^T B over k rows of A[k, m] and B[k, columns], columns a multiple of PANEL;
// a_k and b_k are from row to row.
static void NAMED(multiply_transposed)(long columns, long k, const ELEMENT *a, long a_k,
                                       const ELEMENT *b, long b_k, const Span *spans, float *c) {
  for (long column = 0; column < columns; column += PANEL) {
    const Span rows = spans[column / PANEL];
    float *target = c + rows.from * columns + column;
    NAMED(block)(rows.to - rows.from, a + rows.from, 1, a_k, b + column, b_k, k, target, columns,
                 target, columns);
  }
}

// Pack B[k, columns], row by row, into panels of PANEL columns.
static void NAMED(pack)(const float *b, long k, long columns, ELEMENT *packed) {
  for (long panel = 0; panel < columns / PANEL; panel++)
    for (long p = 0; p < k; p += STEP) {
      const float *row = b + p * columns + panel * PANEL;
      NAMED(across)(row, row + (STEP - 1) * columns, PANEL, packed);
      packed += PANEL;
    }
}
