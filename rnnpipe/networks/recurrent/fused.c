// Recurrent layers over whole sequences, forward and backward, as two TensorFlow operations.
//
// The batch is cut into slabs of SLAB rows, sorted by length; a slab goes through all its steps
// by itself, so that its state and the weights stay in the core's cache, and a row costs nothing
// behind its end. A step is one product [x_t, h_{t-1}] [Wx; Wh], then the gates. Backward, a step
// is [dx_t, dh_{t-1}] = dz [Wx; Wh]^T, and the weights' gradient is summed over many steps at
// once. Slabs and lanes of slabs are cut alike whatever the number of threads, and their gradients
// are added in their order: the same input gives the same bytes.
//
// The equations are those of keras.layers.SimpleRNN, LSTM, and GRU (reset_after).

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// TensorFlow's headers leave these names to C++.
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
typedef struct TF_ShapeHandle TF_ShapeHandle;
typedef struct TF_DimensionHandle TF_DimensionHandle;
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

#if defined(__AVX512F__)
enum { LANES = 16, GROUPS = 4 };
#define ROWS 6  // 6 x 4 sums and 4 columns: 28 of 32 registers
#include <immintrin.h>
#elif defined(__AVX2__)
enum { LANES = 8, GROUPS = 2 };
#define ROWS 6  // 6 x 2 sums, 2 columns and a factor: 15 of 16 registers
#else
enum { LANES = 4, GROUPS = 4 };
#define ROWS 4
#endif
enum { PANEL = GROUPS * LANES, SLAB = 16, CHUNK = 128 };
// Lanes of a backward pass: each sums a gradient of the weights for itself, which takes memory.
enum { GRADIENTS = 16 };
// Elements between the rows of a matrix that is read down its columns: were these a power of two
// apart, a column would fall into a few sets of the cache and push itself out.
enum { GAP = 16 };

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));

// Terms of a sum, or rows of a matrix, that may differ from zero.
typedef struct {
  long from, to;
} Span;

// The gates of one row and one step, units a multiple of LANES. `saved` is what backward needs
// again beside the hidden states; a cell that needs no more than h_t is handed that in its place.
// `direct` is the part of the gradient of h_{t-1} that goes past the weights.
typedef struct {
  const char *name;
  long gates, blocks, states, saved;  // in units: of Keras's weights; of z; of state; of saved
  void (*forward)(long units, const float *z, float *h, float *c, float *saved);
  void (*backward)(long units, const float *saved, const float *h, const float *c, const float *dh,
                   float *dc, float *dz, float *direct);
} Cell;

typedef struct {
  const Cell *cell;
  long batch, time, width, hidden;
  long padded_width, padded_hidden;  // multiples of LANES
  long terms;                        // padded_width + padded_hidden
  long columns, back_columns;        // of z, and of terms, in whole panels
  long states, saved, carry_at;
  Span *forward_spans, *backward_spans, *weight_spans;  // one a panel
} Shape;

typedef struct Work {
  Shape shape;
  int reverse, backward;
  const int32_t *lengths;
  int32_t *order;  // rows, the longest first
  long *offsets;   // where a row's steps begin in `saved`
  const float *inputs, *kernel, *recurrent_kernel, *initial;
  float *bias, *zeros;
  float *outputs, *final, *saved;
  const float *d_outputs, *d_final;
  float *d_inputs, *d_initial, *d_weights, *d_bias;  // the last two a lane
  void *packed, *packed_transposed;
  void (*run)(struct Work *, long slab);
  long slabs, lanes, next;  // slab s belongs to lane s % lanes
} Work;

static inline vec load(const float *from) {
  vec value;
  memcpy(&value, from, sizeof value);
  return value;
}
static inline void store(float *to, vec value) { memcpy(to, &value, sizeof value); }
static inline vec all(float value) { return value - (vec){0}; }
static inline vec choose(ivec mask, vec yes, vec no) {
  return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

static inline long least(long a, long b) { return a < b ? a : b; }
static inline long up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

static void *allocate(size_t bytes) {  // zeroed, on a cache line
  bytes = up(bytes + 1, 64);
  void *memory = aligned_alloc(64, bytes);
  if (!memory) abort();
  return memset(memory, 0, bytes);
}

// A large tensor is new memory in each step; small pages would fault in thousands of times.
static void advise_huge_pages(void *memory, size_t bytes) {
  const uintptr_t page = 1 << 21, from = ((uintptr_t)memory + page - 1) / page * page;
  const uintptr_t to = ((uintptr_t)memory + bytes) / page * page;
#ifdef MADV_HUGEPAGE
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);  // advice: it may be refused
#endif
}

// Where a row's step stands in a tensor [batch, time, ...].
static inline long place(const Work *work, long row, long step) {
  const long t = work->reverse ? work->lengths[row] - 1 - step : step;
  return row * work->shape.time + t;
}

static inline long active_rows(const Work *work, const int32_t *rows, long size, long step) {
  while (size > 0 && work->lengths[rows[size - 1]] <= step) size--;
  return size;
}

// The rows of a slab lie far apart, and each is met again only a step later: what the next step
// reads, and what this one writes, is asked for ahead, and comes while the products are made. It
// pays where these are small: beside the weights of more gates it only fills the core's cache.
static inline int asks_ahead(const Shape *s) { return s->cell->blocks == 1; }
static inline void fetch(const float *from, long n) {
  for (long i = 0; i < n; i += 16) __builtin_prefetch(from + i, 0, 2);
}
static inline void fetch_to_write(float *to, long n) {
  for (long i = 0; i < n; i += 16) __builtin_prefetch(to + i, 1, 3);
}

// ---- Cells ----

// A rational approximation, as in Eigen: within 3 units in the last place.
static inline vec tanh_of(vec x) {
  const vec bound = all(7.90531110763549805f);
  x = choose(x > bound, bound, x);
  x = choose(x < -bound, -bound, x);
  const vec y = x * x;
  vec p = y * all(-2.76076847742355e-16f) + all(2.00018790482477e-13f);
  p = p * y + all(-8.60467152213735e-11f);
  p = p * y + all(5.12229709037114e-08f);
  p = p * y + all(1.48572235717979e-05f);
  p = p * y + all(6.37261928875436e-04f);
  p = p * y + all(4.89352455891786e-03f);
  vec q = y * all(1.19825839466702e-06f) + all(1.18534705686654e-04f);
  q = q * y + all(2.26843463243900e-03f);
  q = q * y + all(4.89352518554385e-03f);
  return x * p / q;
}
static inline vec sigmoid_of(vec x) { return tanh_of(x * all(0.5f)) * all(0.5f) + all(0.5f); }

static void simple_rnn_forward(long units, const float *z, float *h, float *c, float *saved) {
  (void)c, (void)saved;
  for (long u = 0; u < units; u += LANES) store(h + u, tanh_of(load(z + u)));
}

static void simple_rnn_backward(long units, const float *saved, const float *h, const float *c,
                                const float *dh, float *dc, float *dz, float *direct) {
  (void)h, (void)c, (void)dc, (void)direct;
  for (long u = 0; u < units; u += LANES) {
    const vec value = load(saved + u);
    store(dz + u, load(dh + u) * (all(1) - value * value));
  }
}

// Blocks of z: input, forget, candidate, output, as in Keras. Saved: these, and the carry.
static void lstm_forward(long units, const float *z, float *h, float *c, float *saved) {
  for (long u = 0; u < units; u += LANES) {
    const vec i = sigmoid_of(load(z + u)), f = sigmoid_of(load(z + units + u));
    const vec g = tanh_of(load(z + 2 * units + u)), o = sigmoid_of(load(z + 3 * units + u));
    const vec carry = f * load(c + u) + i * g;
    store(c + u, carry);
    store(h + u, o * tanh_of(carry));
    store(saved + u, i);
    store(saved + units + u, f);
    store(saved + 2 * units + u, g);
    store(saved + 3 * units + u, o);
    store(saved + 4 * units + u, carry);
  }
}

static void lstm_backward(long units, const float *saved, const float *h, const float *c,
                          const float *dh, float *dc, float *dz, float *direct) {
  (void)h, (void)direct;
  const vec one = all(1);
  for (long u = 0; u < units; u += LANES) {
    const vec i = load(saved + u), f = load(saved + units + u), g = load(saved + 2 * units + u);
    const vec o = load(saved + 3 * units + u), t = tanh_of(load(saved + 4 * units + u));
    const vec d = load(dh + u), carry = load(dc + u) + d * o * (one - t * t);
    store(dz + u, carry * g * i * (one - i));
    store(dz + units + u, carry * load(c + u) * f * (one - f));
    store(dz + 2 * units + u, carry * i * (one - g * g));
    store(dz + 3 * units + u, d * t * o * (one - o));
    store(dc + u, carry * f);
  }
}

// Blocks of z: the candidate's input part, update, reset, the candidate's recurrent part, so that
// what the input makes and what the state makes are each three blocks side by side.
// Saved: update, reset, candidate, the candidate's recurrent part.
static void gru_forward(long units, const float *z, float *h, float *c, float *saved) {
  (void)c;
  for (long u = 0; u < units; u += LANES) {
    const vec update = sigmoid_of(load(z + units + u)), reset = sigmoid_of(load(z + 2 * units + u));
    const vec inner = load(z + 3 * units + u);
    const vec candidate = tanh_of(load(z + u) + reset * inner);
    store(h + u, update * load(h + u) + (all(1) - update) * candidate);
    store(saved + u, update);
    store(saved + units + u, reset);
    store(saved + 2 * units + u, candidate);
    store(saved + 3 * units + u, inner);
  }
}

static void gru_backward(long units, const float *saved, const float *h, const float *c,
                         const float *dh, float *dc, float *dz, float *direct) {
  (void)c, (void)dc;
  const vec one = all(1);
  for (long u = 0; u < units; u += LANES) {
    const vec update = load(saved + u), reset = load(saved + units + u);
    const vec candidate = load(saved + 2 * units + u), inner = load(saved + 3 * units + u);
    const vec d = load(dh + u);
    const vec d_candidate = d * (one - update) * (one - candidate * candidate);
    store(dz + u, d_candidate);
    store(dz + units + u, d * (load(h + u) - candidate) * update * (one - update));
    store(dz + 2 * units + u, d_candidate * inner * reset * (one - reset));
    store(dz + 3 * units + u, d_candidate * reset);
    store(direct + u, d * update);
  }
}

static const Cell CELLS[] = {
    {"simple_rnn", 1, 1, 1, 0, simple_rnn_forward, simple_rnn_backward},
    {"lstm", 4, 4, 2, 5, lstm_forward, lstm_backward},
    {"gru", 3, 4, 1, 4, gru_forward, gru_backward},
};
static const Cell *const GRU = CELLS + 2;

// ---- Weights: Keras's [width, gates * hidden] and [hidden, gates * hidden], and blocks ----

// The block in which a gate stands, of the input's part and of the state's part.
static long block_of(const Cell *cell, long gate, int of_state) {
  if (cell != GRU) return gate;
  return gate < 2 ? gate + 1 : of_state ? 3 : 0;
}

static void spread_weights(const Shape *s, const float *kernel, const float *recurrent_kernel,
                           float *dense) {
  for (int of_state = 0; of_state < 2; of_state++) {
    const float *from = of_state ? recurrent_kernel : kernel;
    for (long k = 0; k < (of_state ? s->hidden : s->width); k++)
      for (long gate = 0; gate < s->cell->gates; gate++, from += s->hidden)
        memcpy(dense + (of_state * s->padded_width + k) * s->columns +
                   block_of(s->cell, gate, of_state) * s->padded_hidden,
               from, s->hidden * sizeof(float));
  }
}

static void gather_weights(const Shape *s, const float *dense, float *kernel,
                           float *recurrent_kernel) {
  for (int of_state = 0; of_state < 2; of_state++) {
    float *to = of_state ? recurrent_kernel : kernel;
    for (long k = 0; k < (of_state ? s->hidden : s->width); k++)
      for (long gate = 0; gate < s->cell->gates; gate++, to += s->hidden)
        memcpy(to,
               dense + (of_state * s->padded_width + k) * s->columns +
                   block_of(s->cell, gate, of_state) * s->padded_hidden,
               s->hidden * sizeof(float));
  }
}

// Keras's bias: [gates * hidden]; of a GRU the input's and the state's, [2, gates * hidden].
static void spread_bias(const Shape *s, const float *bias, float *dense) {
  for (int of_state = 0; of_state < (s->cell == GRU ? 2 : 1); of_state++)
    for (long gate = 0; gate < s->cell->gates; gate++, bias += s->hidden)
      for (long u = 0; u < s->hidden; u++)
        dense[block_of(s->cell, gate, of_state) * s->padded_hidden + u] += bias[u];
}

static void gather_bias(const Shape *s, const float *dense, float *bias) {
  for (int of_state = 0; of_state < (s->cell == GRU ? 2 : 1); of_state++)
    for (long gate = 0; gate < s->cell->gates; gate++, bias += s->hidden)
      memcpy(bias, dense + block_of(s->cell, gate, of_state) * s->padded_hidden,
             s->hidden * sizeof(float));
}

static Shape shape_of(const Cell *cell, long batch, long time, long width, long hidden) {
  Shape s = {.cell = cell, .batch = batch, .time = time, .width = width, .hidden = hidden};
  s.padded_width = up(width, LANES);
  s.padded_hidden = up(hidden, LANES);
  s.terms = s.padded_width + s.padded_hidden;
  s.columns = up(cell->blocks * s.padded_hidden, PANEL);
  s.back_columns = up(s.terms, PANEL);
  s.states = cell->states;
  s.saved = cell->saved * s.padded_hidden;
  s.carry_at = 4 * s.padded_hidden;
  const long panels = s.columns / PANEL, back_panels = s.back_columns / PANEL;
  s.forward_spans = allocate((2 * panels + back_panels) * sizeof(Span));
  s.weight_spans = s.forward_spans + panels;
  s.backward_spans = s.weight_spans + panels;
  // A GRU's first block knows only the input, its last only the state.
  const long first = cell == GRU ? s.padded_hidden : 0;
  const long last = cell == GRU ? 3 * s.padded_hidden : s.columns;
  for (long p = 0; p < panels; p++) {
    const long from = p * PANEL >= last ? s.padded_width : 0;
    const long to = (p + 1) * PANEL <= first ? s.padded_width : s.terms;
    s.forward_spans[p] = s.weight_spans[p] = (Span){from, to};
  }
  for (long p = 0; p < back_panels; p++) {
    const long from = p * PANEL >= s.padded_width ? first : 0;
    const long to = (p + 1) * PANEL <= s.padded_width ? last : s.columns;
    s.backward_spans[p] = (Span){from, to};
  }
  return s;
}

// ---- Precisions ----

#define ELEMENT float
#define STEP 1
#define NAMED(name) name##_float32
#define MULTIPLY_ADD(sum, a, b) ((sum) + (a) * (b))
static inline void natural_float32(const float *from, long n, float *to) {
  memcpy(to, from, n * sizeof(float));
}
static inline void across_float32(const float *first, const float *second, long n, float *to) {
  (void)second;
  memcpy(to, first, n * sizeof(float));
}
#include "products.h"
#include "sequence.h"
#undef ELEMENT
#undef STEP
#undef NAMED
#undef MULTIPLY_ADD

#ifdef __AVX512BF16__
// Two neighbouring bfloat16 an element: of one row, or of two rows one above the other.
#define ELEMENT uint32_t
#define STEP 2
#define NAMED(name) name##_bfloat16
#define MULTIPLY_ADD(sum, a, b) \
  (vec) _mm512_dpbf16_ps((__m512)(sum), (__m512bh)_mm512_set1_epi32(a), (__m512bh)(b))
static inline void natural_bfloat16(const float *from, long n, uint32_t *to) {
  for (long i = 0; i < n; i += LANES)
    _mm256_storeu_si256((__m256i *)(to + i / 2), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
}
static inline void across_bfloat16(const float *first, const float *second, long n, uint32_t *to) {
  for (long i = 0; i < n; i += LANES) {
    const __m256i low = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(first + i));
    const __m256i high = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(second + i));
    _mm512_storeu_si512(to + i, _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                                _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
  }
}
#include "products.h"
#include "sequence.h"
#endif

int rnnpipe_has_bfloat16(void) {
#ifdef __AVX512BF16__
  return 1;
#else
  return 0;
#endif
}

// ---- Slabs over threads ----

static void *take_slabs(void *argument) {
  Work *work = argument;
  for (long lane; (lane = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->lanes;)
    for (long slab = lane; slab < work->slabs; slab += work->lanes) work->run(work, slab);
  return NULL;
}

static void run_slabs(Work *work) {
  cpu_set_t set;
  const long cores = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
  const long helpers = least(least(cores, work->lanes) - 1, 63);
  pthread_t threads[64];
  long started = 0;
  while (started < helpers && !pthread_create(threads + started, NULL, take_slabs, work)) started++;
  take_slabs(work);  // this thread works, too, and alone where none could be started
  while (started) pthread_join(threads[--started], NULL);
}

// Rows by falling length, equal ones in their order: a counting sort.
static void plan(Work *work) {
  const Shape *s = &work->shape;
  long *count = allocate((s->time + 2) * sizeof *count);
  work->order = allocate(s->batch * sizeof *work->order);
  work->offsets = allocate((s->batch + 1) * sizeof *work->offsets);
  for (long row = 0; row < s->batch; row++) {
    count[s->time - work->lengths[row] + 1]++;
    work->offsets[row + 1] = work->offsets[row] + work->lengths[row];
  }
  for (long i = 1; i <= s->time; i++) count[i] += count[i - 1];
  for (long row = 0; row < s->batch; row++)
    work->order[count[s->time - work->lengths[row]]++] = row;
  work->slabs = (s->batch + SLAB - 1) / SLAB;
  work->lanes = work->slabs;
  free(count);
}

static void run_forward(Work *work, const float *bias, int bfloat16) {
  const Shape *s = &work->shape;
  work->bias = allocate(s->columns * sizeof(float));
  spread_bias(s, bias, work->bias);
#ifdef __AVX512BF16__
  if (bfloat16) {
    pack_weights_bfloat16(work);
    work->run = forward_bfloat16;
  } else
#endif
  {
    pack_weights_float32(work);
    work->run = forward_float32;
  }
  (void)bfloat16;
  run_slabs(work);
}

static void run_backward(Work *work, int bfloat16, float *d_kernel, float *d_recurrent_kernel,
                         float *d_bias) {
  const Shape *s = &work->shape;
  const long size = s->terms * s->columns;
  work->backward = 1;
  work->lanes = least(work->slabs, GRADIENTS);
  work->d_weights = allocate((work->lanes + 1) * size * sizeof(float));
  work->d_bias = allocate((work->lanes + 1) * s->columns * sizeof(float));
  work->zeros = allocate(s->back_columns * sizeof(float));
#ifdef __AVX512BF16__
  if (bfloat16) {
    pack_weights_bfloat16(work);
    work->run = backward_bfloat16;
  } else
#endif
  {
    pack_weights_float32(work);
    work->run = backward_float32;
  }
  (void)bfloat16;
  run_slabs(work);
  for (long lane = 1; lane < work->lanes; lane++) {  // in this order, whoever made them
    for (long i = 0; i < size; i++) work->d_weights[i] += work->d_weights[lane * size + i];
    for (long i = 0; i < s->columns; i++) work->d_bias[i] += work->d_bias[lane * s->columns + i];
  }
  gather_weights(s, work->d_weights, d_kernel, d_recurrent_kernel);
  gather_bias(s, work->d_bias, d_bias);
}

static void release(Work *work) {
  free(work->order), free(work->offsets), free(work->bias), free(work->zeros);
  free(work->d_weights), free(work->d_bias), free(work->packed), free(work->packed_transposed);
  free(work->shape.forward_spans);
}

// ---- TensorFlow ----

typedef struct {
  const Cell *cell;
  unsigned char reverse, bfloat16;
} Settings;

static void *create(TF_OpKernelConstruction *construction) {
  TF_Status *status = TF_NewStatus();
  Settings *settings = allocate(sizeof *settings);
  char name[16] = {0};
  TF_OpKernelConstruction_GetAttrString(construction, "cell", name, sizeof name - 1, status);
  for (size_t i = 0; i < sizeof CELLS / sizeof *CELLS; i++)
    if (!strcmp(name, CELLS[i].name)) settings->cell = CELLS + i;
  if (TF_GetCode(status) == TF_OK)
    TF_OpKernelConstruction_GetAttrBool(construction, "reverse", &settings->reverse, status);
  if (TF_GetCode(status) == TF_OK)
    TF_OpKernelConstruction_GetAttrBool(construction, "mixed_precision", &settings->bfloat16, status);
  if (TF_GetCode(status) == TF_OK && !settings->cell)
    TF_SetStatus(status, TF_INVALID_ARGUMENT, "cell must be simple_rnn, lstm or gru");
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return settings;
}

static void destroy(void *settings) { free(settings); }

enum { INPUTS, LENGTHS, KERNEL, RECURRENT_KERNEL, BIAS, INITIAL, GIVEN };
enum { OUTPUTS = GIVEN, FINAL, SAVED, D_OUTPUTS, D_FINAL, ALL_GIVEN };

static float *output(TF_OpKernelContext *context, int index, const TF_Tensor *like,
                     const int64_t *dims, int rank, TF_Tensor **kept, TF_Status *status) {
  int64_t copied[3];
  if (like) {
    rank = TF_NumDims(like);
    for (int i = 0; i < rank; i++) copied[i] = TF_Dim(like, i);
    dims = copied;
  }
  int64_t size = 1;
  for (int i = 0; i < rank; i++) size *= dims[i];
  *kept = TF_AllocateOutput(context, index, TF_FLOAT, dims, rank, size * sizeof(float), status);
  if (TF_GetCode(status) != TF_OK) return NULL;
  float *data = TF_TensorData(*kept);
  advise_huge_pages(data, size * sizeof(float));
  return data;
}

static void compute(Settings *settings, TF_OpKernelContext *context, int backward) {
  TF_Status *status = TF_NewStatus();
  TF_Tensor *given[ALL_GIVEN] = {0}, *made[5] = {0};
  Work work = {.reverse = settings->reverse};
  const Cell *cell = settings->cell;
  const int expected = backward ? ALL_GIVEN : GIVEN;
  for (int i = 0; i < expected && TF_GetCode(status) == TF_OK; i++)
    TF_GetInput(context, i, given + i, status);
  if (TF_GetCode(status) != TF_OK) goto end;

#define DIM(i, d) TF_Dim(given[i], d)
  static const int ranks[] = {3, 1, 2, 2, 1, 2, 3, 2, 2, 3, 2};
  for (int i = 0; i < expected; i++)
    if (TF_NumDims(given[i]) != ranks[i]) {
      TF_SetStatus(status, TF_INVALID_ARGUMENT, "an input has the wrong rank");
      goto end;
    }
  const long hidden = DIM(RECURRENT_KERNEL, 0);
  work.shape = shape_of(cell, DIM(INPUTS, 0), DIM(INPUTS, 1), DIM(INPUTS, 2), hidden);
  const Shape *s = &work.shape;
  const long biases = cell == GRU ? 2 * cell->gates : cell->gates;
  if (DIM(LENGTHS, 0) != s->batch || DIM(KERNEL, 0) != s->width ||
      DIM(KERNEL, 1) != cell->gates * hidden || DIM(RECURRENT_KERNEL, 1) != cell->gates * hidden ||
      DIM(BIAS, 0) != biases * hidden || DIM(INITIAL, 0) != s->batch ||
      DIM(INITIAL, 1) != s->states * hidden) {
    TF_SetStatus(status, TF_INVALID_ARGUMENT, "the inputs' shapes do not fit each other");
    goto end;
  }
  work.lengths = TF_TensorData(given[LENGTHS]);
  for (long row = 0; row < s->batch; row++)
    if (work.lengths[row] < 0 || work.lengths[row] > s->time) {
      TF_SetStatus(status, TF_INVALID_ARGUMENT, "a length is below 0 or beyond the time steps");
      goto end;
    }
  work.inputs = TF_TensorData(given[INPUTS]);
  work.kernel = TF_TensorData(given[KERNEL]);
  work.recurrent_kernel = TF_TensorData(given[RECURRENT_KERNEL]);
  work.initial = TF_TensorData(given[INITIAL]);
  plan(&work);

  if (!backward) {
    const int64_t states[] = {s->batch, s->time, hidden};
    const int64_t saved[] = {work.offsets[s->batch], s->saved};
    work.outputs = output(context, 0, NULL, states, 3, made + 0, status);
    if (TF_GetCode(status) != TF_OK) goto end;
    work.final = output(context, 1, given[INITIAL], NULL, 0, made + 1, status);
    if (TF_GetCode(status) != TF_OK) goto end;
    work.saved = output(context, 2, NULL, saved, 2, made + 2, status);
    if (TF_GetCode(status) != TF_OK) goto end;  // an empty tensor has no data
    run_forward(&work, TF_TensorData(given[BIAS]), settings->bfloat16);
  } else {
    if (DIM(OUTPUTS, 0) != s->batch || DIM(OUTPUTS, 1) != s->time || DIM(OUTPUTS, 2) != hidden ||
        DIM(D_OUTPUTS, 0) != s->batch || DIM(D_OUTPUTS, 1) != s->time ||
        DIM(D_OUTPUTS, 2) != hidden || DIM(SAVED, 0) != work.offsets[s->batch] ||
        DIM(SAVED, 1) != s->saved || DIM(D_FINAL, 0) != s->batch ||
        DIM(D_FINAL, 1) != s->states * hidden) {
      TF_SetStatus(status, TF_INVALID_ARGUMENT, "the gradients' shapes do not fit the inputs'");
      goto end;
    }
    work.outputs = TF_TensorData(given[OUTPUTS]);
    work.saved = TF_TensorData(given[SAVED]);
    work.d_outputs = TF_TensorData(given[D_OUTPUTS]);
    work.d_final = TF_TensorData(given[D_FINAL]);
    float *made_data[5];
    static const int like[] = {INPUTS, KERNEL, RECURRENT_KERNEL, BIAS, INITIAL};
    for (int i = 0; i < 5; i++) {
      made_data[i] = output(context, i, given[like[i]], NULL, 0, made + i, status);
      if (TF_GetCode(status) != TF_OK) goto end;
    }
    work.d_inputs = made_data[0];
    work.d_initial = made_data[4];
    run_backward(&work, settings->bfloat16, made_data[1], made_data[2], made_data[3]);
  }
#undef DIM
end:
  if (TF_GetCode(status) != TF_OK) TF_OpKernelContext_Failure(context, status);
  release(&work);
  for (int i = 0; i < ALL_GIVEN; i++)
    if (given[i]) TF_DeleteTensor(given[i]);
  for (int i = 0; i < 5; i++)
    if (made[i]) TF_DeleteTensor(made[i]);
  TF_DeleteStatus(status);
}

static void compute_forward(void *settings, TF_OpKernelContext *context) {
  compute(settings, context, 0);
}
static void compute_backward(void *settings, TF_OpKernelContext *context) {
  compute(settings, context, 1);
}

static void register_operation(const char *name, const char *const *inputs,
                               const char *const *outputs,
                               void (*computation)(void *, TF_OpKernelContext *)) {
  TF_Status *status = TF_NewStatus();
  TF_OpDefinitionBuilder *definition = TF_NewOpDefinitionBuilder(name);
  TF_OpDefinitionBuilderAddAttr(definition, "cell: string");
  TF_OpDefinitionBuilderAddAttr(definition, "reverse: bool");
  TF_OpDefinitionBuilderAddAttr(definition, "mixed_precision: bool");
  for (; *inputs; inputs++) TF_OpDefinitionBuilderAddInput(definition, *inputs);
  for (; *outputs; outputs++) TF_OpDefinitionBuilderAddOutput(definition, *outputs);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition,
                                                  TF_ShapeInferenceContextSetUnknownShape);
  TF_RegisterOpDefinition(definition, status);
  if (TF_GetCode(status) == TF_OK)
    TF_RegisterKernelBuilder(name, TF_NewKernelBuilder(name, "CPU", create, computation, destroy),
                             status);
  TF_DeleteStatus(status);
}

__attribute__((constructor)) static void register_operations(void) {
  register_operation("RnnpipeRecurrent",
                     (const char *[]){"inputs: float", "lengths: int32", "kernel: float",
                                      "recurrent_kernel: float", "bias: float", "initial: float",
                                      NULL},
                     (const char *[]){"outputs: float", "final: float", "saved: float", NULL},
                     compute_forward);
  register_operation("RnnpipeRecurrentGradient",
                     (const char *[]){"inputs: float", "lengths: int32", "kernel: float",
                                      "recurrent_kernel: float", "bias: float", "initial: float",
                                      "outputs: float", "final: float", "saved: float",
                                      "d_outputs: float", "d_final: float", NULL},
                     (const char *[]){"d_inputs: float", "d_kernel: float",
                                      "d_recurrent_kernel: float", "d_bias: float",
                                      "d_initial: float", NULL},
                     compute_backward);
}
