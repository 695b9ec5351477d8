/* One filter a channel. Weights lie by blocks of 4 channels, tap after tap; those of the last channels one by one. */

/* One tap of 4 neighbouring channels. */
#if defined(TRINE_MVE)
typedef int32x4_t trine_four;
TRINE_INLINE trine_four trine_tap(trine_four sum, const int8_t *x, const int8_t *w)
{
    return vaddq_s32(sum, vmulq_s32(vldrbq_s32(x), vldrbq_s32(w)));
}
#else
typedef struct {
    int32_t s0, s1, s2, s3;
} trine_four;

TRINE_INLINE trine_four trine_tap(trine_four sum, const int8_t *x, const int8_t *w)
{
#if defined(TRINE_DSP)
    uint32_t a = trine_load4(x), b = *(const trine_word *)w;
    int16x2_t even = (int16x2_t)trine_even(a), odd = (int16x2_t)trine_odd(a);
    int16x2_t even_w = (int16x2_t)trine_even(b), odd_w = (int16x2_t)trine_odd(b);
    sum.s0 = __smlabb(even, even_w, sum.s0);
    sum.s1 = __smlabb(odd, odd_w, sum.s1);
    sum.s2 = __smlatt(even, even_w, sum.s2);
    sum.s3 = __smlatt(odd, odd_w, sum.s3);
#else
    sum.s0 += x[0] * w[0];
    sum.s1 += x[1] * w[1];
    sum.s2 += x[2] * w[2];
    sum.s3 += x[3] * w[3];
#endif
    return sum;
}
#endif

/* One window: channel `c` of its taps lies at tap[0][c], tap[1][c], ... */
TRINE_INLINE void trine_depthwise_window(const int8_t *const *tap, int8_t *y, int32_t channels, const trine_linear *p)
{
    const trine_channel *entry = p->channel;
    const int8_t *w = p->weight;
    const int8_t *const *last = tap + p->length - 1;
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4, entry += 4) {
#if defined(TRINE_MVE)
        int32x4x4_t entries = vld4q_s32((const int32_t *)entry);
        trine_four sum = entries.val[0];
#else
        trine_four sum = {entry[0].bias, entry[1].bias, entry[2].bias, entry[3].bias};
#endif
        const int8_t *const *at = tap;
        for (; at < last; at += 2, w += 8)
            sum = trine_tap(trine_tap(sum, at[0] + c, w), at[1] + c, w + 4);
        if (at == last) {
            sum = trine_tap(sum, at[0] + c, w);
            w += 4;
        }
#if defined(TRINE_FINISH_4)
        trine_finish_4(sum, y + c, entries, p);
#elif defined(TRINE_MVE)
        for (int i = 0; i < 4; i++)
            y[c + i] = trine_finish(sum[i], entry + i, p);
#else
        y[c] = trine_finish(sum.s0, entry, p);
        y[c + 1] = trine_finish(sum.s1, entry + 1, p);
        y[c + 2] = trine_finish(sum.s2, entry + 2, p);
        y[c + 3] = trine_finish(sum.s3, entry + 3, p);
#endif
    }
    for (; c < channels; c++, entry++) {
        int32_t sum = entry->bias;
        for (int32_t t = 0; t < p->length; t++)
            sum += tap[t][c] * *w++;
        y[c] = trine_finish(sum, entry, p);
    }
}

/* Taps outside the image read `padding`: zero points of all channels. `tap` has room for the taps of a window. */
static void trine_depthwise(const int8_t *x, int8_t *y, int8_t *padding, const int8_t **tap, const trine_shape *s,
                            const trine_linear *p)
{
    trine_fill(padding, s->zero_point, s->channels);
    for (int32_t oy = 0; oy < s->out_h; oy++)
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            const int8_t **at = tap;
            int32_t iy = oy * s->stride_h - s->top;
            for (int32_t ky = 0; ky < s->taps_h; ky++, iy += s->dilation_h) {
                int32_t ix = ox * s->stride_w - s->left;
                for (int32_t kx = 0; kx < s->taps_w; kx++, ix += s->dilation_w) {
                    int32_t outside = iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w;
                    *at++ = outside ? padding : x + (iy * s->in_w + ix) * s->channels;
                }
            }
            trine_depthwise_window(tap, y, s->channels, p);
        }
}
