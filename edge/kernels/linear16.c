/* A layer with int16 inputs and int8 weights: `outputs` rows of `row` taps, padded with zero weights to a multiple of 4,
   rows in pairs as for int8. TRINE_WIDE: the four bytes of a word are taps 0, 2, 1, 3, so that they extend to the
   halfwords of neighbouring inputs. */
typedef struct {
    const int8_t *weight;
    const trine_channel *channel;
    int32_t row, length;
    int32_t outputs;
    int32_t low, high, left;
    int32_t chunk; /* taps whose products stay inside 32 bits; the row where all do */
} trine_linear16;

#if TRINE_SUMS_64
typedef int64_t trine_sum_of16;
#else
typedef int32_t trine_sum_of16;
#endif

#if TRINE_WIDE
#define TRINE_BYTE16(i) (((i) & 1) << 1 | (i) >> 1)
#else
#define TRINE_BYTE16(i) (i)
#endif
#if TRINE_PAIRED
#define TRINE_ROW16(w, p) ((w) + 4)
#define TRINE_STEP16 8
#else
#define TRINE_ROW16(w, p) ((w) + (p)->row)
#define TRINE_STEP16 4
#endif

#if defined(TRINE_DSP)
TRINE_INLINE uint32_t trine_low16(uint32_t word)
{
    return (uint32_t)__sxtb16((int16x2_t)word);
}

TRINE_INLINE uint32_t trine_high16(uint32_t word)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}

TRINE_INLINE int32_t trine_smlad16(uint32_t a, uint32_t b, int32_t sum)
{
    return (int32_t)__smlad((int16x2_t)a, (int16x2_t)b, sum);
}
#endif

/* `n` taps of two windows with two neighbouring rows: x0 w0, x0 w1, x1 w0, x1 w1. */
TRINE_INLINE void trine_part16_2x2(const int16_t *x0, const int16_t *x1, const int8_t *w, const int8_t *w1, int32_t n,
                                   int32_t sum[4])
{
    int32_t s00 = sum[0], s01 = sum[1], s10 = sum[2], s11 = sum[3];
    const int16_t *end = x0 + n;
#if defined(TRINE_DSP) && defined(__OPTIMIZE__)
    /* 18 instructions for 16 products; in assembly, because compilers spill. Windows lie at whole words. The loop takes
       13 registers, all that compilers give: where it ends is kept on the stack. */
    uint32_t b0, b1, b0e, b1e, odd;
    uintptr_t even = (uintptr_t)end;
    (void)w1;
    __asm__("push {%[even]}\n"
            "1: ldrd %[b0], %[b1], [%[w]], #8\n"
            "ldrd %[even], %[odd], [%[x0]], #8\n"
            "sxtb16 %[b0e], %[b0]\n"
            "sxtb16 %[b1e], %[b1]\n"
            "sxtb16 %[b0], %[b0], ror #8\n"
            "sxtb16 %[b1], %[b1], ror #8\n"
            "smlad %[s00], %[even], %[b0e], %[s00]\n"
            "smlad %[s01], %[even], %[b1e], %[s01]\n"
            "smlad %[s00], %[odd], %[b0], %[s00]\n"
            "smlad %[s01], %[odd], %[b1], %[s01]\n"
            "ldrd %[even], %[odd], [%[x1]], #8\n"
            "smlad %[s10], %[even], %[b0e], %[s10]\n"
            "smlad %[s11], %[even], %[b1e], %[s11]\n"
            "ldr %[even], [sp]\n"
            "smlad %[s10], %[odd], %[b0], %[s10]\n"
            "smlad %[s11], %[odd], %[b1], %[s11]\n"
            "cmp %[x0], %[even]\n"
            "bne 1b\n"
            "add sp, #4\n"
            : [s00] "+r"(s00), [s01] "+r"(s01), [s10] "+r"(s10), [s11] "+r"(s11), [x0] "+r"(x0), [x1] "+r"(x1),
              [w] "+r"(w), [b0] "=&r"(b0), [b1] "=&r"(b1), [b0e] "=&r"(b0e), [b1e] "=&r"(b1e), [even] "+r"(even),
              [odd] "=&r"(odd)
            :
            : "cc", "memory");
#elif defined(TRINE_MVE)
    for (; n > 0; n -= 8) {
        mve_pred16_t tail = vctp16q((uint32_t)n);
        int16x8_t a0 = vldrhq_z_s16(x0, tail), a1 = vldrhq_z_s16(x1, tail);
        int16x8_t b0 = vldrbq_z_s16(w, tail), b1 = vldrbq_z_s16(w1, tail);
        s00 = vmladavaq_p_s16(s00, a0, b0, tail);
        s01 = vmladavaq_p_s16(s01, a0, b1, tail);
        s10 = vmladavaq_p_s16(s10, a1, b0, tail);
        s11 = vmladavaq_p_s16(s11, a1, b1, tail);
        x0 += 8, x1 += 8, w += 8, w1 += 8;
    }
    (void)end;
#else
    do {
        TRINE_UNROLL_4
        for (int i = 0; i < 4; i++) {
            int32_t a0 = x0[i], a1 = x1[i], b0 = w[TRINE_BYTE16(i)], b1 = w1[TRINE_BYTE16(i)];
            s00 += a0 * b0;
            s01 += a0 * b1;
            s10 += a1 * b0;
            s11 += a1 * b1;
        }
        x0 += 4, x1 += 4, w += TRINE_STEP16, w1 += TRINE_STEP16;
    } while (x0 != end);
#endif
    sum[0] = s00, sum[1] = s01, sum[2] = s10, sum[3] = s11;
}

/* `n` taps of one window with two neighbouring rows. */
TRINE_INLINE void trine_part16_1x2(const int16_t *x, const int8_t *w, const int8_t *w1, int32_t n, int32_t sum[2])
{
    int32_t s0 = sum[0], s1 = sum[1];
    const int16_t *end = x + n;
#if defined(TRINE_DSP)
    const trine_word *at = (const trine_word *)(const void *)x, *pair = (const trine_word *)(const void *)w;
    (void)w1;
    do {
        uint32_t a0 = at[0], a1 = at[1], b0 = pair[0], b1 = pair[1];
        s0 = trine_smlad16(a1, trine_high16(b0), trine_smlad16(a0, trine_low16(b0), s0));
        s1 = trine_smlad16(a1, trine_high16(b1), trine_smlad16(a0, trine_low16(b1), s1));
        at += 2, pair += 2;
    } while (at != (const trine_word *)(const void *)end);
#elif defined(TRINE_MVE)
    for (; n > 0; n -= 8) {
        mve_pred16_t tail = vctp16q((uint32_t)n);
        int16x8_t a = vldrhq_z_s16(x, tail);
        s0 = vmladavaq_p_s16(s0, a, vldrbq_z_s16(w, tail), tail);
        s1 = vmladavaq_p_s16(s1, a, vldrbq_z_s16(w1, tail), tail);
        x += 8, w += 8, w1 += 8;
    }
    (void)end;
#else
    do {
        TRINE_UNROLL_4
        for (int i = 0; i < 4; i++) {
            int32_t a = x[i];
            s0 += a * w[TRINE_BYTE16(i)];
            s1 += a * w1[TRINE_BYTE16(i)];
        }
        x += 4, w += TRINE_STEP16, w1 += TRINE_STEP16;
    } while (x != end);
#endif
    sum[0] = s0, sum[1] = s1;
}

/* A whole row: in one part, or in parts of `chunk` taps that are added in 64 bits. */
TRINE_INLINE void trine_dot16_2x2(const int16_t *x0, const int16_t *x1, const int8_t *w, const trine_linear16 *p,
                                  trine_sum_of16 sum[4])
{
#if TRINE_SUMS_64
    for (int32_t at = 0; at < p->row; at += p->chunk) {
        int32_t n = p->row - at < p->chunk ? p->row - at : p->chunk, part[4] = {0, 0, 0, 0};
        trine_part16_2x2(x0 + at, x1 + at, w, TRINE_ROW16(w, p), n, part);
        for (int i = 0; i < 4; i++)
            sum[i] += part[i];
        w += n / 4 * TRINE_STEP16;
    }
#else
    trine_part16_2x2(x0, x1, w, TRINE_ROW16(w, p), p->row, sum);
#endif
}

TRINE_INLINE void trine_dot16_1x2(const int16_t *x, const int8_t *w, const trine_linear16 *p, trine_sum_of16 sum[2])
{
#if TRINE_SUMS_64
    for (int32_t at = 0; at < p->row; at += p->chunk) {
        int32_t n = p->row - at < p->chunk ? p->row - at : p->chunk, part[2] = {0, 0};
        trine_part16_1x2(x + at, w, TRINE_ROW16(w, p), n, part);
        sum[0] += part[0];
        sum[1] += part[1];
        w += n / 4 * TRINE_STEP16;
    }
#else
    trine_part16_1x2(x, w, TRINE_ROW16(w, p), p->row, sum);
#endif
}

/* Sum to int16. */
TRINE_INLINE int16_t trine_finish16(trine_sum_of16 sum, const trine_channel *c, const trine_linear16 *p)
{
#if TRINE_TFLITE16
    int64_t q = ((int64_t)sum * c->multiplier + ((int64_t)1 << (c->shift - 1))) >> c->shift;
    return (int16_t)(q < p->low ? p->low : q > p->high ? p->high : q);
#elif TRINE_SUMS_64
    int32_t whole = (int32_t)(p->left < 0 ? sum >> -p->left : sum * ((int32_t)1 << p->left));
    return trine_requantize16(whole, c, p->low, p->high);
#elif TRINE_LEFT16
    return trine_requantize16(sum * ((int32_t)1 << p->left), c, p->low, p->high);
#else
    return trine_requantize16(sum, c, p->low, p->high);
#endif
}

/* One window through the whole layer. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_one_window16(const int16_t *x, int16_t *y, const trine_linear16 *p)
{
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
    for (int32_t left = p->outputs; left > 0; left -= 2, c += 2, y += 2, w += 2 * p->row) {
        trine_sum_of16 sum[2] = {c[0].bias, left > 1 ? c[1].bias : 0};
        trine_dot16_1x2(x, w, p, sum);
        y[0] = trine_finish16(sum[0], c, p);
        if (left > 1)
            y[1] = trine_finish16(sum[1], c + 1, p);
    }
}

/* Two windows through the whole layer; for a single one, pass it twice. */
TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_two_windows16(const int16_t *x0, const int16_t *x1, int16_t *y0,
                                                                  int16_t *y1, const trine_linear16 *p)
{
    const int8_t *w = p->weight;
    const trine_channel *c = p->channel;
    int32_t left = p->outputs;
    for (; left > 1; left -= 2, c += 2, y0 += 2, y1 += 2, w += 2 * p->row) {
        trine_sum_of16 sum[4] = {c[0].bias, c[1].bias, c[0].bias, c[1].bias};
        trine_dot16_2x2(x0, x1, w, p, sum);
        y0[0] = trine_finish16(sum[0], c, p);
        y0[1] = trine_finish16(sum[1], c + 1, p);
        y1[0] = trine_finish16(sum[2], c, p);
        y1[1] = trine_finish16(sum[3], c + 1, p);
    }
    if (left > 0) {
        trine_sum_of16 sum[4] = {c[0].bias, 0, c[0].bias, 0};
        trine_dot16_2x2(x0, x1, w, p, sum);
        y0[0] = trine_finish16(sum[0], c, p);
        y1[0] = trine_finish16(sum[2], c, p);
    }
}

/* `row` taps at a whole word that may be read up to the padding: in place, or copied. `at` taps lie behind x. */
TRINE_INLINE const int16_t *trine_aligned16(const int16_t *x, int16_t *scratch, int32_t at, const trine_linear16 *p)
{
#if defined(TRINE_DSP)
    if (p->row <= at && ((uintptr_t)x & 3u) == 0)
        return x;
#else
    if (p->row <= at)
        return x;
#endif
    trine_copy((int8_t *)scratch, (const int8_t *)x, 2 * p->length);
    return scratch;
}

/* `rows` vectors through the same layer, two at a time; their results lie `apart` values from each other. */
TRINE_MAYBE_UNUSED static void trine_dense16(const int16_t *x, int16_t *y, int16_t *scratch, int32_t rows, int32_t apart,
                                             const trine_linear16 *p)
{
    int32_t left = rows * p->length;
    for (; rows > 1; rows -= 2, x += 2 * p->length, y += 2 * apart, left -= 2 * p->length)
        trine_two_windows16(trine_aligned16(x, scratch, left, p),
                            trine_aligned16(x + p->length, scratch + p->row, left - p->length, p), y, y + apart, p);
    if (rows > 0)
        trine_one_window16(trine_aligned16(x, scratch, left, p), y, p);
}
