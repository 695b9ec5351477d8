/* Selective state-space models: h = exp(delta a) h + delta x b, y = sum of h c + d x, one step at a time. */
typedef struct {
    const int32_t *delta;   /* the step size of each code */
    const int32_t *decay;   /* 2^23 2^(-i / 256), i = 0..256 */
    const int32_t *rate;    /* -a log2(e) of every state of every channel */
    const int32_t *skip;    /* d of every channel, in units of the sums */
    const int8_t *exponent; /* e of every state: it counts in 2^-e */
    int32_t channels, states;
    int32_t rate_shift; /* from the high word of delta rate to units of 2^-16 */
    int32_t gain;       /* of b */
    int32_t in_shift, out_shift;
    int32_t zero_x, zero_b, zero_c;
    trine_channel y;
} trine_scan;

/* exp(-u ln 2) in 2^-23 for u in 2^-16. */
TRINE_INLINE int32_t trine_decay(const int32_t *table, int32_t u)
{
    const int32_t *at = table + ((u >> 8) & 255);
    int32_t whole = u >> 16, fine = at[0] - (((at[0] - at[1]) * (u & 255) + 128) >> 8);
    return fine >> (whole > 31 ? 31 : whole);
}

/* rows: two rows of `states` words; h: the state, channel after channel. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_scan_step(const trine_scan *p, const int8_t *x, const int8_t *delta,
                                                              const int8_t *b, const int8_t *c, int32_t *rows,
                                                              int16_t *h, int8_t *y)
{
    int32_t n = p->states;
    const int32_t *rate = p->rate;
    const int8_t *exponent = p->exponent;
    for (int32_t j = 0; j < n; j++) {
        rows[j] = (b[j] - p->zero_b) * p->gain;
        rows[n + j] = c[j] - p->zero_c;
    }
    for (int32_t i = 0; i < p->channels; i++) {
        int32_t step = p->delta[delta[i] + 128], in = x[i] - p->zero_x, sum = p->skip[i] * in;
        int32_t fed = trine_high(step, in * 8388608);
        for (int32_t j = 0; j < n; j++, h++) {
            int32_t e = *exponent++, kept = trine_decay(p->decay, trine_high(step, *rate++) >> p->rate_shift);
            kept = trine_high(*h * 65536, kept) + (trine_high(fed, rows[j]) >> (p->in_shift - e));
            kept = trine_clamp((kept + 64) >> 7, -32768, 32767);
            *h = (int16_t)kept;
            sum += (kept * rows[n + j]) >> (e + p->out_shift);
        }
        y[i] = trine_requantize(sum, &p->y, -128, 127);
    }
}
