/* A layer with constant weights: `outputs` rows of `row` bytes. Rows are padded with zero weights to a multiple of 4. */
typedef struct {
    const int8_t *weight;
    const trine_channel *channel;
    int32_t row, length; /* bytes of a row with and without padding */
    int32_t outputs;
    int32_t low, high, left;
} trine_linear;

#if defined(TRINE_DSP)
/* Bytes 0 and 2, and bytes 1 and 3, of a word as two signed halfwords. */
TRINE_INLINE uint32_t trine_even(uint32_t word)
{
    return (uint32_t)__sxtb16((int16x2_t)word);
}

TRINE_INLINE uint32_t trine_odd(uint32_t word)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}

TRINE_INLINE int32_t trine_mac2(uint32_t a, uint32_t b, int32_t sum)
{
    return (int32_t)__smlad((int16x2_t)a, (int16x2_t)b, sum);
}
#endif

/* Sums of two windows with two rows of weights. */
TRINE_INLINE void trine_dot_2x2(const int8_t *x0, const int8_t *x1, const int8_t *w0, const int8_t *w1,
                                const trine_linear *p, int32_t sum[4])
{
    int32_t s00 = sum[0], s01 = sum[1], s10 = sum[2], s11 = sum[3];
#if defined(TRINE_MVE)
    for (int32_t n = p->length; n > 0; n -= 16) {
        mve_pred16_t tail = vctp8q((uint32_t)n);
        int8x16_t a0 = vldrbq_z_s8(x0, tail), a1 = vldrbq_z_s8(x1, tail);
        int8x16_t b0 = vldrbq_z_s8(w0, tail), b1 = vldrbq_z_s8(w1, tail);
        s00 = vmladavaq_p_s8(s00, a0, b0, tail);
        s01 = vmladavaq_p_s8(s01, a0, b1, tail);
        s10 = vmladavaq_p_s8(s10, a1, b0, tail);
        s11 = vmladavaq_p_s8(s11, a1, b1, tail);
        x0 += 16, x1 += 16, w0 += 16, w1 += 16;
    }
#elif defined(TRINE_DSP)
    const int8_t *end = w0 + p->row;
    do {
        uint32_t b0 = trine_load4(w0), b1 = trine_load4(w1);
        uint32_t a0 = trine_load4(x0), a1 = trine_load4(x1);
        uint32_t b0e = trine_even(b0), b1e = trine_even(b1), b0o = trine_odd(b0), b1o = trine_odd(b1);
        uint32_t a0e = trine_even(a0), a0o = trine_odd(a0);
        s00 = trine_mac2(a0e, b0e, s00);
        s01 = trine_mac2(a0e, b1e, s01);
        s00 = trine_mac2(a0o, b0o, s00);
        s01 = trine_mac2(a0o, b1o, s01);
        uint32_t a1e = trine_even(a1), a1o = trine_odd(a1);
        s10 = trine_mac2(a1e, b0e, s10);
        s11 = trine_mac2(a1e, b1e, s11);
        s10 = trine_mac2(a1o, b0o, s10);
        s11 = trine_mac2(a1o, b1o, s11);
        x0 += 4, x1 += 4, w0 += 4, w1 += 4;
    } while (w0 != end);
#else
    const int8_t *end = w0 + p->row;
    do {
        for (int i = 0; i < 4; i++) {
            int32_t a0 = x0[i], a1 = x1[i], b0 = w0[i], b1 = w1[i];
            s00 += a0 * b0;
            s01 += a0 * b1;
            s10 += a1 * b0;
            s11 += a1 * b1;
        }
        x0 += 4, x1 += 4, w0 += 4, w1 += 4;
    } while (w0 != end);
#endif
    sum[0] = s00, sum[1] = s01, sum[2] = s10, sum[3] = s11;
}

/* Sums of one window with four rows of weights. */
TRINE_INLINE void trine_dot_1x4(const int8_t *x, const int8_t *w0, const int8_t *w1, const int8_t *w2,
                                const int8_t *w3, const trine_linear *p, int32_t sum[4])
{
    int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
#if defined(TRINE_MVE)
    for (int32_t n = p->length; n > 0; n -= 16) {
        mve_pred16_t tail = vctp8q((uint32_t)n);
        int8x16_t a = vldrbq_z_s8(x, tail);
        s0 = vmladavaq_p_s8(s0, a, vldrbq_z_s8(w0, tail), tail);
        s1 = vmladavaq_p_s8(s1, a, vldrbq_z_s8(w1, tail), tail);
        s2 = vmladavaq_p_s8(s2, a, vldrbq_z_s8(w2, tail), tail);
        s3 = vmladavaq_p_s8(s3, a, vldrbq_z_s8(w3, tail), tail);
        x += 16, w0 += 16, w1 += 16, w2 += 16, w3 += 16;
    }
#elif defined(TRINE_DSP)
    const int8_t *end = w0 + p->row;
    do {
        uint32_t a = trine_load4(x), ae = trine_even(a), ao = trine_odd(a), b;
        b = trine_load4(w0);
        s0 = trine_mac2(ao, trine_odd(b), trine_mac2(ae, trine_even(b), s0));
        b = trine_load4(w1);
        s1 = trine_mac2(ao, trine_odd(b), trine_mac2(ae, trine_even(b), s1));
        b = trine_load4(w2);
        s2 = trine_mac2(ao, trine_odd(b), trine_mac2(ae, trine_even(b), s2));
        b = trine_load4(w3);
        s3 = trine_mac2(ao, trine_odd(b), trine_mac2(ae, trine_even(b), s3));
        x += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
    } while (w0 != end);
#else
    const int8_t *end = w0 + p->row;
    do {
        for (int i = 0; i < 4; i++) {
            int32_t a = x[i];
            s0 += a * w0[i];
            s1 += a * w1[i];
            s2 += a * w2[i];
            s3 += a * w3[i];
        }
        x += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
    } while (w0 != end);
#endif
    sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
}

/* Sum to int8; `left` is 0 but for ratios of a quarter and more. */
TRINE_INLINE int8_t trine_finish(int32_t sum, const trine_channel *c, const trine_linear *p)
{
    return TRINE_FINISH(sum, c, p);
}

/* Two windows through the whole layer; for a single one, pass it twice. */
TRINE_MAYBE_UNUSED static void trine_two_windows(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                                                 const trine_linear *p)
{
    const int8_t *w0 = p->weight;
    const trine_channel *c0 = p->channel, *last = c0 + p->outputs;
    while (c0 < last) {
        int32_t step = c0 + 1 < last; /* 0: an odd last row is computed twice */
        const trine_channel *c1 = c0 + step;
        const int8_t *w1 = w0 + step * p->row;
        int32_t sum[4] = {c0->bias, c1->bias, c0->bias, c1->bias};
        trine_dot_2x2(x0, x1, w0, w1, p, sum);
        y0[0] = trine_finish(sum[0], c0, p);
        y1[0] = trine_finish(sum[2], c0, p);
        y0[step] = trine_finish(sum[1], c1, p);
        y1[step] = trine_finish(sum[3], c1, p);
        w0 = w1 + p->row;
        c0 = c1 + 1;
        y0 += 2;
        y1 += 2;
    }
}

/* One window through the whole layer. */
TRINE_MAYBE_UNUSED static void trine_one_window(const int8_t *x, int8_t *y, const trine_linear *p)
{
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
    for (int32_t left = p->outputs; left > 0; left -= 4) {
        int32_t i1 = left > 1 ? 1 : 0, i2 = left > 2 ? 2 : 0, i3 = left > 3 ? 3 : 0;
        int32_t sum[4] = {c[0].bias, c[i1].bias, c[i2].bias, c[i3].bias};
        trine_dot_1x4(x, w, w + i1 * p->row, w + i2 * p->row, w + i3 * p->row, p, sum);
        y[0] = trine_finish(sum[0], c, p);
        if (i1)
            y[1] = trine_finish(sum[1], c + 1, p);
        if (i2)
            y[2] = trine_finish(sum[2], c + 2, p);
        if (i3)
            y[3] = trine_finish(sum[3], c + 3, p);
        w += 4 * p->row;
        c += 4;
        y += 4;
    }
}
