/* A layer with constant weights: `outputs` rows of `row` bytes, padded with zero weights to a multiple of 4.
   TRINE_PAIRED: two rows lie interleaved, four bytes of the one, four of the other; an odd last row has zeros beside it. */
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

/* Two windows as halfwords, four taps at a time: x0 even, x0 odd, x1 even, x1 odd. */
TRINE_NOINLINE static void trine_expand(const int8_t *x0, const int8_t *x1, trine_word *to, int32_t row)
{
    const int8_t *end = x0 + row;
    do {
        uint32_t a0 = trine_load4(x0), a1 = trine_load4(x1);
        x0 += 4, x1 += 4;
        to[0] = trine_even(a0);
        to[1] = trine_odd(a0);
        to[2] = trine_even(a1);
        to[3] = trine_odd(a1);
        to += 4;
    } while (x0 != end);
}

/* Sums of two expanded windows with a pair of rows; returns the weights behind. 17 instructions for 16 products. In assembly, because the loop
   needs 13 of the 14 registers and compilers spill some. */
TRINE_INLINE const trine_word *trine_dot_expanded(const trine_word *x, const trine_word *w, int32_t row, int32_t sum[4])
{
    int32_t s00 = sum[0], s01 = sum[1], s10 = sum[2], s11 = sum[3];
    const trine_word *end = x + row;
#if defined(__OPTIMIZE__)
    uint32_t b0, b1, b0e, b1e, even, odd;
    __asm__("1: ldrd %[b0], %[b1], [%[w]], #8\n"
            "ldrd %[even], %[odd], [%[x]], #8\n"
            "sxtb16 %[b0e], %[b0]\n"
            "sxtb16 %[b1e], %[b1]\n"
            "sxtb16 %[b0], %[b0], ror #8\n"
            "sxtb16 %[b1], %[b1], ror #8\n"
            "smlad %[s00], %[even], %[b0e], %[s00]\n"
            "smlad %[s01], %[even], %[b1e], %[s01]\n"
            "smlad %[s00], %[odd], %[b0], %[s00]\n"
            "smlad %[s01], %[odd], %[b1], %[s01]\n"
            "ldrd %[even], %[odd], [%[x]], #8\n"
            "cmp %[x], %[end]\n"
            "smlad %[s10], %[even], %[b0e], %[s10]\n"
            "smlad %[s11], %[even], %[b1e], %[s11]\n"
            "smlad %[s10], %[odd], %[b0], %[s10]\n"
            "smlad %[s11], %[odd], %[b1], %[s11]\n"
            "bne 1b\n"
            : [s00] "+r"(s00), [s01] "+r"(s01), [s10] "+r"(s10), [s11] "+r"(s11), [x] "+r"(x), [w] "+r"(w),
              [b0] "=&r"(b0), [b1] "=&r"(b1), [b0e] "=&r"(b0e), [b1e] "=&r"(b1e), [even] "=&r"(even), [odd] "=&r"(odd)
            : [end] "r"(end)
            : "cc", "memory");
#else
    for (; x != end; x += 4, w += 2) {
        uint32_t b0e = trine_even(w[0]), b0o = trine_odd(w[0]), b1e = trine_even(w[1]), b1o = trine_odd(w[1]);
        s00 = trine_mac2(x[1], b0o, trine_mac2(x[0], b0e, s00));
        s01 = trine_mac2(x[1], b1o, trine_mac2(x[0], b1e, s01));
        s10 = trine_mac2(x[3], b0o, trine_mac2(x[2], b0e, s10));
        s11 = trine_mac2(x[3], b1o, trine_mac2(x[2], b1e, s11));
    }
#endif
    sum[0] = s00, sum[1] = s01, sum[2] = s10, sum[3] = s11;
    return w;
}
#endif

#if TRINE_PAIRED
#define TRINE_ROW1(w, p) ((w) + 4)
#define TRINE_STEP 8
#else
#define TRINE_ROW1(w, p) ((w) + (p)->row)
#define TRINE_STEP 4
#endif

/* Sums of two windows with two neighbouring rows: x0 w0, x0 w1, x1 w0, x1 w1. */
TRINE_INLINE void trine_dot_2x2(const int8_t *x0, const int8_t *x1, const int8_t *w, const trine_linear *p,
                                int32_t sum[4])
{
    int32_t s00 = sum[0], s01 = sum[1], s10 = sum[2], s11 = sum[3];
    const int8_t *w1 = TRINE_ROW1(w, p);
#if defined(TRINE_MVE) && defined(__OPTIMIZE__)
    /* In assembly, because GCC 12 makes no tail-predicated loops. */
    int32_t n = p->length;
    __asm__("wlstp.8 lr, %[n], 2f\n"
            "1: vldrb.u8 q0, [%[x0]], #16\n"
            "vldrb.u8 q2, [%[w0]], #16\n"
            "vmladava.s8 %[s00], q0, q2\n"
            "vldrb.u8 q3, [%[w1]], #16\n"
            "vmladava.s8 %[s01], q0, q3\n"
            "vldrb.u8 q1, [%[x1]], #16\n"
            "vmladava.s8 %[s10], q1, q2\n"
            "vmladava.s8 %[s11], q1, q3\n"
            "letp lr, 1b\n"
            "2:\n"
            : [s00] "+Te"(s00), [s01] "+Te"(s01), [s10] "+Te"(s10), [s11] "+Te"(s11), [x0] "+r"(x0), [x1] "+r"(x1),
              [w0] "+r"(w), [w1] "+r"(w1)
            : [n] "r"(n)
            : "lr", "q0", "q1", "q2", "q3", "memory");
#elif defined(TRINE_MVE)
    for (int32_t n = p->length; n > 0; n -= 16) {
        mve_pred16_t tail = vctp8q((uint32_t)n);
        int8x16_t a0 = vldrbq_z_s8(x0, tail), a1 = vldrbq_z_s8(x1, tail);
        int8x16_t b0 = vldrbq_z_s8(w, tail), b1 = vldrbq_z_s8(w1, tail);
        s00 = vmladavaq_p_s8(s00, a0, b0, tail);
        s01 = vmladavaq_p_s8(s01, a0, b1, tail);
        s10 = vmladavaq_p_s8(s10, a1, b0, tail);
        s11 = vmladavaq_p_s8(s11, a1, b1, tail);
        x0 += 16, x1 += 16, w += 16, w1 += 16;
    }
#else
    const int8_t *end = x0 + p->row;
    do {
        TRINE_UNROLL_4
        for (int i = 0; i < 4; i++) {
            int32_t a0 = x0[i], a1 = x1[i], b0 = w[i], b1 = w1[i];
            s00 += a0 * b0;
            s01 += a0 * b1;
            s10 += a1 * b0;
            s11 += a1 * b1;
        }
        x0 += 4, x1 += 4, w += TRINE_STEP, w1 += TRINE_STEP;
    } while (x0 != end);
#endif
    sum[0] = s00, sum[1] = s01, sum[2] = s10, sum[3] = s11;
}

/* Sums of one window with two neighbouring rows. */
TRINE_INLINE void trine_dot_1x2(const int8_t *x, const int8_t *w, const trine_linear *p, int32_t sum[2])
{
    int32_t s0 = sum[0], s1 = sum[1];
    const int8_t *w1 = TRINE_ROW1(w, p);
#if defined(TRINE_MVE)
    for (int32_t n = p->length; n > 0; n -= 16) {
        mve_pred16_t tail = vctp8q((uint32_t)n);
        int8x16_t a = vldrbq_z_s8(x, tail);
        s0 = vmladavaq_p_s8(s0, a, vldrbq_z_s8(w, tail), tail);
        s1 = vmladavaq_p_s8(s1, a, vldrbq_z_s8(w1, tail), tail);
        x += 16, w += 16, w1 += 16;
    }
#elif defined(TRINE_DSP)
    const int8_t *end = x + p->row;
    const trine_word *pair = (const trine_word *)w;
    (void)w1;
    do {
        uint32_t a = trine_load4(x), b0 = pair[0], b1 = pair[1];
        uint32_t even = trine_even(a), odd = trine_odd(a);
        s0 = trine_mac2(odd, trine_odd(b0), trine_mac2(even, trine_even(b0), s0));
        s1 = trine_mac2(odd, trine_odd(b1), trine_mac2(even, trine_even(b1), s1));
        x += 4, pair += 2;
    } while (x != end);
#elif defined(__ARM_ARCH_6M__) && defined(__OPTIMIZE__) && !TRINE_PAIRED
    /* Eight low registers, and signed bytes load only by register: one index serves all three rows, the sums lie in
       high registers. 33 instructions for 8 products; compilers take 60. */
    int32_t i = -p->row, a, b;
    x -= i, w -= i, w1 -= i;
#define TRINE_TAP \
    "ldrsb %[a], [%[x], %[i]]\n" \
    "ldrsb %[b], [%[w0], %[i]]\n" \
    "muls %[b], %[a], %[b]\n" \
    "add %[s0], %[b]\n" \
    "ldrsb %[b], [%[w1], %[i]]\n" \
    "muls %[b], %[a], %[b]\n" \
    "add %[s1], %[b]\n" \
    "adds %[i], #1\n"
    __asm__(".syntax unified\n1:\n" TRINE_TAP TRINE_TAP TRINE_TAP TRINE_TAP "bne 1b\n"
            : [s0] "+h"(s0), [s1] "+h"(s1), [i] "+l"(i), [a] "=&l"(a), [b] "=&l"(b)
            : [x] "l"(x), [w0] "l"(w), [w1] "l"(w1)
            : "cc", "memory");
#else
    const int8_t *end = x + p->row;
    do {
        TRINE_UNROLL_4
        for (int i = 0; i < 4; i++) {
            int32_t a = x[i];
            s0 += a * w[i];
            s1 += a * w1[i];
        }
        x += 4, w += TRINE_STEP, w1 += TRINE_STEP;
    } while (x != end);
#endif
    sum[0] = s0, sum[1] = s1;
}

/* Sum to int8. */
TRINE_INLINE int8_t trine_finish(int32_t sum, const trine_channel *c, const trine_linear *p)
{
    return TRINE_FINISH(sum, c, p);
}

#if defined(TRINE_MVE) && TRINE_EXACT
#define TRINE_FINISH_4 1
/* Four sums of neighbouring channels to int8, as trine_requantize; `c` holds their entries field by field. */
TRINE_INLINE void trine_finish_4(int32x4_t sums, int8_t *y, int32x4x4_t c, const trine_linear *p)
{
    int32x4_t q = vaddq_s32(vmulhq_s32(vshlq_r_s32(sums, p->left), c.val[1]), c.val[2]);
    q = vshlq_s32(q, vnegq_s32(c.val[3]));
    vstrbq_s32(y, vminq_s32(vmaxq_s32(q, vdupq_n_s32(p->low)), vdupq_n_s32(p->high)));
}
#endif

/* One window with the last row, where their number is odd; the row beside it is zeros. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static int8_t trine_last_row(const int8_t *x, const int8_t *w, const trine_channel *c,
                                                               const trine_linear *p)
{
    int32_t sum[2] = {c->bias, 0};
    trine_dot_1x2(x, w, p, sum);
    return trine_finish(sum[0], c, p);
}

/* One window through the whole layer. */
TRINE_MAYBE_UNUSED static void trine_one_window(const int8_t *x, int8_t *y, const trine_linear *p)
{
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
    int32_t left = p->outputs;
#if defined(TRINE_FINISH_4)
    for (; left >= 4; left -= 4, c += 4, y += 4) {
        int32_t sum[4] = {c[0].bias, c[1].bias, c[2].bias, c[3].bias};
        trine_dot_1x2(x, w, p, sum);
        trine_dot_1x2(x, w + 2 * p->row, p, sum + 2);
        trine_finish_4(vldrwq_s32(sum), y, vld4q_s32((const int32_t *)c), p);
        w += 4 * p->row;
    }
#endif
    for (; left > 1; left -= 2, c += 2, y += 2) {
        int32_t sum[2] = {c[0].bias, c[1].bias};
        trine_dot_1x2(x, w, p, sum);
        y[0] = trine_finish(sum[0], c, p);
        y[1] = trine_finish(sum[1], c + 1, p);
        w += 2 * p->row;
    }
    if (left > 0)
        y[0] = trine_last_row(x, w, c, p);
}

/* Two windows through the whole layer; for a single one, pass it twice. `expanded` has room for 4 * row bytes. */
TRINE_MAYBE_UNUSED static void trine_two_windows(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                                                 int8_t *expanded, const trine_linear *p)
{
#if defined(__ARM_ARCH_6M__)
    (void)expanded; /* registers for a block of one window and two rows only */
    trine_one_window(x0, y0, p);
    if (x1 != x0)
        trine_one_window(x1, y1, p);
#else
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
#if defined(TRINE_DSP)
    trine_expand(x0, x1, (trine_word *)expanded, p->row);
#else
    (void)expanded;
#endif
    int32_t left = p->outputs;
#if defined(TRINE_FINISH_4)
    for (; left >= 4; left -= 4, c += 4, y0 += 4, y1 += 4) {
        int32_t sum0[4], sum1[4];
        for (int i = 0; i < 4; i += 2) {
            int32_t sum[4] = {c[i].bias, c[i + 1].bias, c[i].bias, c[i + 1].bias};
            trine_dot_2x2(x0, x1, w, p, sum);
            sum0[i] = sum[0], sum0[i + 1] = sum[1], sum1[i] = sum[2], sum1[i + 1] = sum[3];
            w += 2 * p->row;
        }
        int32x4x4_t entries = vld4q_s32((const int32_t *)c);
        trine_finish_4(vldrwq_s32(sum0), y0, entries, p);
        trine_finish_4(vldrwq_s32(sum1), y1, entries, p);
    }
#endif
    for (; left > 1; left -= 2, c += 2, y0 += 2, y1 += 2) {
        int32_t sum[4] = {c[0].bias, c[1].bias, c[0].bias, c[1].bias};
#if defined(TRINE_DSP)
        w = (const int8_t *)trine_dot_expanded((const trine_word *)expanded, (const trine_word *)w, p->row, sum);
#else
        trine_dot_2x2(x0, x1, w, p, sum);
        w += 2 * p->row;
#endif
        y0[0] = trine_finish(sum[0], c, p);
        y0[1] = trine_finish(sum[1], c + 1, p);
        y1[0] = trine_finish(sum[2], c, p);
        y1[1] = trine_finish(sum[3], c + 1, p);
    }
    if (left > 0) {
        y0[0] = trine_last_row(x0, w, c, p);
        y1[0] = trine_last_row(x1, w, c, p);
    }
#endif
}
