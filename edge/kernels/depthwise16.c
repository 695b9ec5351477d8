/* One filter a channel, int16 inputs. Weights lie by blocks of 4 channels, tap after tap; those of the last channels one
   by one. Sums stay inside 32 bits. */
TRINE_INLINE void trine_tap16(int32_t sum[4], const int16_t *x, const int8_t *w)
{
#if defined(TRINE_DSP)
    uint32_t first = trine_load4((const int8_t *)x), second = trine_load4((const int8_t *)(x + 2));
    uint32_t weights = *(const trine_word *)(const void *)w;
    int16x2_t even = (int16x2_t)trine_low16(weights), odd = (int16x2_t)trine_high16(weights);
    sum[0] = __smlabb((int16x2_t)first, even, sum[0]);
    sum[1] = __smlatb((int16x2_t)first, odd, sum[1]);
    sum[2] = __smlabt((int16x2_t)second, even, sum[2]);
    sum[3] = __smlatt((int16x2_t)second, odd, sum[3]);
#else
    for (int i = 0; i < 4; i++)
        sum[i] += x[i] * w[i];
#endif
}

/* One window: channel `c` of its taps lies at tap[0][c], tap[1][c], ... */
TRINE_INLINE void trine_depthwise_window16(const int16_t *const *tap, int16_t *y, int32_t channels,
                                           const trine_linear16 *p)
{
    const trine_channel *entry = p->channel;
    const int8_t *w = p->weight;
    const int16_t *const *last = tap + p->length - 1;
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4, entry += 4) {
        int32_t sum[4] = {entry[0].bias, entry[1].bias, entry[2].bias, entry[3].bias};
        const int16_t *const *at = tap;
        for (; at < last; at += 2, w += 8) {
            trine_tap16(sum, at[0] + c, w);
            trine_tap16(sum, at[1] + c, w + 4);
        }
        if (at == last) {
            trine_tap16(sum, at[0] + c, w);
            w += 4;
        }
        for (int i = 0; i < 4; i++)
            y[c + i] = trine_finish16(sum[i], entry + i, p);
    }
    for (; c < channels; c++, entry++) {
        int32_t sum = entry->bias;
        for (int32_t t = 0; t < p->length; t++)
            sum += tap[t][c] * *w++;
        y[c] = trine_finish16(sum, entry, p);
    }
}

/* Taps outside the image read `padding`: zeros of all channels. `tap` has room for the taps of a window. */
static void trine_depthwise16(const int16_t *x, int16_t *y, int16_t *padding, const int16_t **tap,
                              const trine_shape16 *s, const trine_linear16 *p)
{
    trine_fill((int8_t *)padding, 0, 2 * s->channels);
    for (int32_t oy = 0; oy < s->out_h; oy++)
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            const int16_t **at = tap;
            int32_t iy = oy * s->stride_h - s->top;
            for (int32_t ky = 0; ky < s->taps_h; ky++, iy += s->dilation_h) {
                int32_t ix = ox * s->stride_w - s->left;
                for (int32_t kx = 0; kx < s->taps_w; kx++, ix += s->dilation_w) {
                    int32_t outside = iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w;
                    *at++ = outside ? padding : x + (iy * s->in_w + ix) * s->channels;
                }
            }
            trine_depthwise_window16(tap, y, s->channels, p);
        }
}
