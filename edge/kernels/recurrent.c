/* Recurrent layers: one step at a time. Gates count in 2^-12 and saturate at int16; a function's value counts in 2^-15. */
typedef struct {
    const int16_t *table; /* f(i / 32), i = 0..256 */
    int32_t offset;       /* f(-x) = offset - f(x) */
} trine_function;

typedef struct {
    int32_t hidden;
    int32_t bits;            /* fraction bits of the int16 cell or state */
    int32_t clip;            /* gates are bounded to this on both sides; 32767: not */
    int32_t coupled;         /* LSTM: f = 1 - i. GRU: the reset gate comes behind the product */
    const int16_t *peephole; /* LSTM: i, o, f, or none */
    int32_t shift;           /* of a peephole's product */
    trine_function f, g, h;
    trine_channel state; /* from the state's fine units to its codes */
#if TRINE_STATES_16
    int32_t wide; /* inputs and the state are int16 */
#endif
} trine_recurrent;

/* y[j] = or += what row j adds to a gate; x has a whole number of words. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_project(const int8_t *x, const trine_linear *p, int32_t *y, int32_t keep)
{
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
    int32_t rows = p->outputs, factor = (int32_t)1 << p->left;
    for (; rows > 0; rows -= 2, c += 2, y += 2, w += 2 * p->row) {
        int32_t sum[2] = {c[0].bias, rows > 1 ? c[1].bias : 0};
        trine_dot_1x2(x, w, p, sum);
        y[0] = (y[0] & keep) + ((trine_high(sum[0] * factor, c[0].multiplier) + c[0].addend) >> c[0].shift);
        if (rows > 1)
            y[1] = (y[1] & keep) + ((trine_high(sum[1] * factor, c[1].multiplier) + c[1].addend) >> c[1].shift);
    }
}

#if TRINE_STATES_16
/* The same of int16. */
TRINE_NOINLINE static void trine_project16(const int16_t *x, const trine_linear16 *p, int32_t *y, int32_t keep)
{
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
    for (int32_t rows = p->outputs; rows > 0; rows -= 2, c += 2, y += 2, w += 2 * p->row) {
        trine_sum_of16 sum[2] = {c[0].bias, rows > 1 ? c[1].bias : 0};
        trine_dot16_1x2(x, w, p, sum);
        for (int32_t i = 0; i < 2 && i < rows; i++) {
            int32_t whole = (int32_t)(p->left < 0 ? sum[i] >> -p->left : sum[i] * ((int32_t)1 << p->left));
            y[i] = (y[i] & keep) + ((trine_high(whole, c[i].multiplier) + c[i].addend) >> c[i].shift);
        }
    }
}
#endif

TRINE_INLINE int32_t trine_saturate16(int32_t x)
{
    return trine_clamp(x, -32768, 32767);
}

/* A state's value in its fine units, kept as int8 or int16. */
TRINE_INLINE void trine_keep_state(const trine_recurrent *p, void *state, int32_t at, int32_t fine)
{
#if TRINE_STATES_16
    if (p->wide) {
        ((int16_t *)state)[at] = trine_requantize16(fine, &p->state, -32768, 32767);
        return;
    }
#endif
    ((int8_t *)state)[at] = trine_requantize(fine, &p->state, -128, 127);
}

/* f(x) for x in 2^-12 within +-8, straight lines between the table's values. */
TRINE_INLINE int32_t trine_function_of(const trine_function *f, int32_t x)
{
    int32_t size = x < 0 ? -x : x;
    size = size > 32767 ? 32767 : size;
    const int16_t *at = f->table + (size >> 7);
    int32_t y = at[0] + (((at[1] - at[0]) * (size & 127) + 64) >> 7);
    return x < 0 ? f->offset - y : y;
}

/* A function of a gate. */
TRINE_INLINE int32_t trine_gate(const trine_function *f, int32_t x, const trine_recurrent *p)
{
    return trine_function_of(f, trine_clamp(x, p->clip == 32767 ? -32768 : -p->clip, p->clip));
}

TRINE_INLINE int32_t trine_peephole(const trine_recurrent *p, int32_t at, int32_t cell)
{
    return p->peephole ? (p->peephole[at] * cell + ((int32_t)1 << (p->shift - 1))) >> p->shift : 0;
}

/* gates: i, o, f, c of every unit. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_lstm_step(const trine_recurrent *p, const int32_t *gates,
                                                              int16_t *cells, void *h)
{
    int32_t n = p->hidden, drop = p->bits - 12;
    for (int32_t j = 0; j < n; j++) {
        int32_t c = cells[j];
        int32_t i = trine_gate(&p->f, gates[j] + trine_peephole(p, j, c), p);
        int32_t f = p->coupled ? 32768 - i : trine_gate(&p->f, gates[2 * n + j] + trine_peephole(p, 2 * n + j, c), p);
        int32_t product = (i * trine_gate(&p->g, gates[3 * n + j], p)) >> (15 - p->bits);
        c = trine_saturate16((f * c + product + 16384) >> 15);
        cells[j] = (int16_t)c;
        int32_t o = trine_gate(&p->f, gates[n + j] + trine_peephole(p, n + j, c), p);
        int32_t seen = drop > 0 ? (c + ((int32_t)1 << (drop - 1))) >> drop : c * ((int32_t)1 << -drop);
        trine_keep_state(p, h, j, o * trine_function_of(&p->h, trine_saturate16(seen)));
    }
}

/* gates: z and r of every unit, before their functions; r is replaced by its value, and `kept` is r h. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_gru_reset(const trine_recurrent *p, int32_t *gates,
                                                              const int16_t *fine, void *kept)
{
    int32_t n = p->hidden;
    for (int32_t j = 0; j < n; j++) {
        gates[n + j] = trine_gate(&p->f, gates[n + j], p);
        if (!p->coupled)
            trine_keep_state(p, kept, j, gates[n + j] * fine[j]);
    }
}

/* gates: z before its function, r after it, what the inputs and what the state add to n. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_gru_step(const trine_recurrent *p, const int32_t *gates,
                                                             int16_t *fine, void *h)
{
    int32_t n = p->hidden;
    for (int32_t j = 0; j < n; j++) {
        int32_t remembered = gates[3 * n + j];
        if (p->coupled)
            remembered = (gates[n + j] * trine_clamp(remembered, -65535, 65535) + 16384) >> 15;
        int32_t z = trine_gate(&p->f, gates[j], p), fresh = trine_gate(&p->g, gates[2 * n + j] + remembered, p);
        int32_t next = z * fine[j] + (((32768 - z) * fresh) >> (15 - p->bits));
        next = trine_saturate16((next + 16384) >> 15);
        fine[j] = (int16_t)next;
        trine_keep_state(p, h, j, next * 32768);
    }
}

TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_rnn_step(const trine_recurrent *p, const int32_t *gates, void *h)
{
    for (int32_t j = 0; j < p->hidden; j++)
        trine_keep_state(p, h, j, trine_gate(&p->f, gates[j], p) * 32768);
}
