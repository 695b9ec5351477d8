/* One filter a channel; weights lie tap by tap, all channels of a tap together. */
/* Sums of 4 neighbouring channels over the taps of one window; lines of it `line` bytes apart, taps `next`. */
TRINE_INLINE void trine_depthwise_4(const int8_t *x, const int8_t *w, int32_t line, int32_t next,
                                    const trine_shape *s, int32_t sum[4])
{
#if defined(TRINE_MVE)
    int32x4_t sums = {sum[0], sum[1], sum[2], sum[3]};
#else
    int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
#endif
    for (int32_t ky = s->taps_h; ky > 0; ky--, x += line) {
        const int8_t *from = x;
        for (int32_t kx = s->taps_w; kx > 0; kx--) {
#if defined(TRINE_MVE)
            sums = vaddq_s32(sums, vmulq_s32(vldrbq_s32(from), vldrbq_s32(w)));
#elif defined(TRINE_DSP)
            uint32_t a = trine_load4(from), b = trine_load4(w);
            uint32_t ae = trine_even(a), ao = trine_odd(a), be = trine_even(b), bo = trine_odd(b);
            s0 += (int16_t)ae * (int16_t)be;
            s1 += (int16_t)ao * (int16_t)bo;
            s2 += ((int32_t)ae >> 16) * ((int32_t)be >> 16);
            s3 += ((int32_t)ao >> 16) * ((int32_t)bo >> 16);
#else
            s0 += from[0] * w[0];
            s1 += from[1] * w[1];
            s2 += from[2] * w[2];
            s3 += from[3] * w[3];
#endif
            from += next;
            w += s->channels;
        }
    }
#if defined(TRINE_MVE)
    for (int i = 0; i < 4; i++)
        sum[i] = sums[i];
#else
    sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
#endif
}

/* Sum of one channel. */
TRINE_INLINE int32_t trine_depthwise_1(const int8_t *x, const int8_t *w, int32_t line, int32_t next,
                                       const trine_shape *s, int32_t sum)
{
    for (int32_t ky = 0; ky < s->taps_h; ky++)
        for (int32_t kx = 0; kx < s->taps_w; kx++, w += s->channels)
            sum += x[ky * line + kx * next] * *w;
    return sum;
}

/* A window inside the image is read in place; one that reaches over the border is gathered first. */
static void trine_depthwise(const int8_t *x, int8_t *y, int8_t *scratch, const trine_shape *s,
                            const trine_linear *p)
{
    int32_t reach_h = (s->taps_h - 1) * s->dilation_h, reach_w = (s->taps_w - 1) * s->dilation_w;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        int32_t iy = oy * s->stride_h - s->top;
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            int32_t ix = ox * s->stride_w - s->left, line = s->dilation_h * s->in_w * s->channels;
            int32_t next = s->dilation_w * s->channels;
            const int8_t *from = x + (iy * s->in_w + ix) * s->channels;
            if (iy < 0 || ix < 0 || iy + reach_h >= s->in_h || ix + reach_w >= s->in_w) {
                from = trine_window(x, oy, ox, scratch, s, 0);
                next = s->channels;
                line = s->taps_w * next;
            }
            const trine_channel *channel = p->channel;
            int32_t c = 0;
            for (; c + 4 <= s->channels; c += 4, channel += 4) {
                int32_t sum[4] = {channel[0].bias, channel[1].bias, channel[2].bias, channel[3].bias};
                trine_depthwise_4(from + c, p->weight + c, line, next, s, sum);
                for (int i = 0; i < 4; i++)
                    y[c + i] = trine_finish(sum[i], channel + i, p);
            }
            for (; c < s->channels; c++, channel++)
                y[c] = trine_finish(trine_depthwise_1(from + c, p->weight + c, line, next, s, channel->bias),
                                    channel, p);
        }
    }
}
