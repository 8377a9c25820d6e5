// One slab of a batch through all its steps, forward and backward, once for each precision:
// fused.c includes this file after products.h.

static void NAMED(pack_weights)(Work *work) {
  const Shape *s = &work->shape;
  // dense is [terms, columns], zero where nothing stands; its transpose is needed backward.
  float *dense = allocate(s->terms * s->columns * sizeof *dense);
  spread_weights(s, work->kernel, work->recurrent_kernel, dense);
  work->packed = allocate(s->terms * s->columns * sizeof(ELEMENT));
  NAMED(pack)(dense, s->terms, s->columns, work->packed);
  if (work->backward) {
    float *transposed = allocate(s->columns * s->back_columns * sizeof *transposed);
    for (long k = 0; k < s->terms; k++)
      for (long n = 0; n < s->columns; n++)
        transposed[n * s->back_columns + k] = dense[k * s->columns + n];
    work->packed_transposed = allocate(s->columns * s->back_columns * sizeof(ELEMENT));
    NAMED(pack)(transposed, s->columns, s->back_columns, work->packed_transposed);
    free(transposed);
  }
  free(dense);
}

static void NAMED(forward)(Work *work, long slab) {
  const Shape *s = &work->shape;
  const int32_t *rows = work->order + slab * SLAB;
  const long size = least(SLAB, s->batch - slab * SLAB), terms = s->terms / STEP;
  ELEMENT *left = allocate(SLAB * s->terms * sizeof *left);
  float *gates = allocate(SLAB * s->columns * sizeof *gates);
  float *hidden = allocate(SLAB * s->padded_hidden * sizeof *hidden);
  float *carry = allocate(SLAB * s->padded_hidden * sizeof *carry);
  float *input = allocate(s->padded_width * sizeof *input);

  for (long r = 0; r < size; r++) {
    const float *start = work->initial + rows[r] * s->states * s->hidden;
    memcpy(hidden + r * s->padded_hidden, start, s->hidden * sizeof(float));
    if (s->states == 2)
      memcpy(carry + r * s->padded_hidden, start + s->hidden, s->hidden * sizeof(float));
    NAMED(natural)(hidden + r * s->padded_hidden, s->padded_hidden,
                   left + r * terms + s->padded_width / STEP);
  }
  for (long step = 0; step < work->lengths[rows[0]]; step++) {
    const long active = active_rows(work, rows, size, step);
    for (long r = 0; r < active; r++) {
      const long here = place(work, rows[r], step);
      memcpy(input, work->inputs + here * s->width, s->width * sizeof(float));
      NAMED(natural)(input, s->padded_width, left + r * terms);
      if (asks_ahead(s)) fetch_to_write(work->outputs + here * s->hidden, s->hidden);
      if (asks_ahead(s) && step + 1 < work->lengths[rows[r]])
        fetch(work->inputs + place(work, rows[r], step + 1) * s->width, s->width);
    }
    NAMED(multiply)(active, left, terms, work->packed, terms, s->columns / PANEL, s->forward_spans,
                    work->bias, gates, s->columns);
    for (long r = 0; r < active; r++) {
      float *h = hidden + r * s->padded_hidden;
      float *saved = work->saved + (work->offsets[rows[r]] + step) * s->saved;
      s->cell->forward(s->padded_hidden, gates + r * s->columns, h, carry + r * s->padded_hidden,
                       saved);
      NAMED(natural)(h, s->padded_hidden, left + r * terms + s->padded_width / STEP);
      memcpy(work->outputs + place(work, rows[r], step) * s->hidden, h,
             s->hidden * sizeof(float));
    }
  }
  for (long r = 0; r < size; r++) {
    float *end = work->final + rows[r] * s->states * s->hidden;
    memcpy(end, hidden + r * s->padded_hidden, s->hidden * sizeof(float));
    if (s->states == 2)
      memcpy(end + s->hidden, carry + r * s->padded_hidden, s->hidden * sizeof(float));
    const long length = work->lengths[rows[r]];
    memset(work->outputs + (rows[r] * s->time + length) * s->hidden, 0,
           (s->time - length) * s->hidden * sizeof(float));
  }
  free(left), free(gates), free(hidden), free(carry), free(input);
}

static void NAMED(backward)(Work *work, long slab) {
  const Shape *s = &work->shape;
  const int32_t *rows = work->order + slab * SLAB;
  const long size = least(SLAB, s->batch - slab * SLAB), terms = s->terms;
  // Of one step: the gates' gradient, and what it makes of input and state.
  float *dz = allocate((SLAB + 1) * s->columns * sizeof *dz);
  ELEMENT *left = allocate(SLAB * s->columns * sizeof *left);
  float *before = allocate(SLAB * s->back_columns * sizeof *before);
  float *dh = allocate(SLAB * s->padded_hidden * sizeof *dh);
  float *dc = allocate(SLAB * s->padded_hidden * sizeof *dc);
  float *direct = allocate(SLAB * s->padded_hidden * sizeof *direct);
  float *first_carry = allocate(s->padded_hidden * sizeof *first_carry);
  float *state = allocate(SLAB * s->padded_hidden * sizeof *state);  // h_t of each row
  // Of many steps: both factors of the weights' gradient. A row of one float an element is made in
  // its place there; of pairs, two rows make one.
  float *seen = allocate((SLAB + 1) * terms * sizeof *seen);
  const long seen_row = terms + GAP, dz_row = s->columns + GAP;
  ELEMENT *many_seen = allocate((CHUNK + SLAB) * seen_row * sizeof *many_seen);
  ELEMENT *many_dz = allocate((CHUNK + SLAB) * dz_row * sizeof *many_dz);
  const long lane = slab % work->lanes;
  float *weights = work->d_weights + lane * terms * s->columns;
  float *bias = work->d_bias + lane * s->columns;
  long held = 0;  // elements along the sum

  for (long r = 0; r < size; r++) {
    const float *end = work->d_final + rows[r] * s->states * s->hidden;
    memcpy(dh + r * s->padded_hidden, end, s->hidden * sizeof(float));
    if (s->states == 2)
      memcpy(dc + r * s->padded_hidden, end + s->hidden, s->hidden * sizeof(float));
    if (!s->saved && work->lengths[rows[r]])
      memcpy(state + r * s->padded_hidden,
             work->outputs + place(work, rows[r], work->lengths[rows[r]] - 1) * s->hidden,
             s->hidden * sizeof(float));
  }
  for (long step = work->lengths[rows[0]] - 1; step >= 0; step--) {
    const long active = active_rows(work, rows, size, step);
    for (long r = 0; r < active; r++) {
      const long here = place(work, rows[r], step);
      const float *start = work->initial + rows[r] * s->states * s->hidden;
      const float *saved = s->saved ? work->saved + (work->offsets[rows[r]] + step) * s->saved
                                    : state + r * s->padded_hidden;
      float *x = STEP == 1 ? (float *)(many_seen + (held + r) * seen_row) : seen + r * terms;
      float *z = STEP == 1 ? (float *)(many_dz + (held + r) * dz_row) : dz + r * s->columns;
      float *h = x + s->padded_width, *d = dh + r * s->padded_hidden;
      memcpy(x, work->inputs + here * s->width, s->width * sizeof(float));
      memcpy(h, step ? work->outputs + place(work, rows[r], step - 1) * s->hidden : start,
             s->hidden * sizeof(float));
      const float *c = saved - s->saved + s->carry_at;
      if (step == 0 && s->states == 2) {
        memcpy(first_carry, start + s->hidden, s->hidden * sizeof(float));
        c = first_carry;
      }
      const float *dy = work->d_outputs + here * s->hidden;
      for (long u = 0; u < s->hidden; u++) d[u] += dy[u];
      s->cell->backward(s->padded_hidden, saved, h, c, d, dc + r * s->padded_hidden,
                        z, direct + r * s->padded_hidden);
      if (!s->saved) memcpy(state + r * s->padded_hidden, h, s->padded_hidden * sizeof(float));
      for (long n = 0; n < s->columns; n++) bias[n] += z[n];
      if (STEP > 1) NAMED(natural)(z, s->columns, left + r * (s->columns / STEP));
      if (asks_ahead(s)) fetch_to_write(work->d_inputs + here * s->width, s->width);
      if (asks_ahead(s) && step) {
        const long next = place(work, rows[r], step - 1);
        fetch(work->inputs + next * s->width, s->width);
        fetch(work->d_outputs + next * s->hidden, s->hidden);
        if (step > 1) fetch(work->outputs + place(work, rows[r], step - 2) * s->hidden, s->hidden);
      }
    }
    const ELEMENT *now = STEP == 1 ? many_dz + held * dz_row : left;
    const long now_row = STEP == 1 ? dz_row : s->columns / STEP;
    if (STEP == 1) held += active;
    if (STEP > 1) memset(dz + active * s->columns, 0, s->columns * sizeof *dz);  // fills a pair
    for (long r = 0; STEP > 1 && r < active; r += STEP, held++) {
      NAMED(across)(dz + r * s->columns, dz + (r + 1) * s->columns, s->columns,
                    many_dz + held * dz_row);
      NAMED(across)(seen + r * terms, seen + (r + 1) * terms, terms, many_seen + held * seen_row);
    }
    NAMED(multiply)(active, now, now_row, work->packed_transposed, s->columns / STEP,
                    s->back_columns / PANEL, s->backward_spans, work->zeros, before,
                    s->back_columns);
    for (long r = 0; r < active; r++) {
      const float *both = before + r * s->back_columns;
      float *d = dh + r * s->padded_hidden, *more = direct + r * s->padded_hidden;
      memcpy(work->d_inputs + place(work, rows[r], step) * s->width, both,
             s->width * sizeof(float));
      for (long u = 0; u < s->padded_hidden; u++) d[u] = both[s->padded_width + u] + more[u];
    }
    if (held * STEP >= CHUNK || step == 0) {
      NAMED(multiply_transposed)(s->columns, held, many_seen, seen_row, many_dz, dz_row,
                                 s->weight_spans, weights);
      held = 0;
    }
  }
  for (long r = 0; r < size; r++) {
    float *start = work->d_initial + rows[r] * s->states * s->hidden;
    memcpy(start, dh + r * s->padded_hidden, s->hidden * sizeof(float));
    if (s->states == 2)
      memcpy(start + s->hidden, dc + r * s->padded_hidden, s->hidden * sizeof(float));
    const long length = work->lengths[rows[r]];
    memset(work->d_inputs + (rows[r] * s->time + length) * s->width, 0,
           (s->time - length) * s->width * sizeof(float));
  }
  free(dz), free(left), free(before), free(dh), free(dc), free(direct), free(seen);
  free(first_carry), free(state), free(many_seen), free(many_dz);
}
