/* One filter a channel; weights lie tap by tap, all channels of a tap together. */
typedef struct {
    int32_t first_y, last_y, first_x, last_x; /* the taps that fall inside the image */
} trine_taps;

/* Sums of `n` <= 4 neighbouring channels at one position. */
TRINE_INLINE void trine_depthwise_sums(const int8_t *x, const int8_t *w, const trine_taps *t, const trine_shape *s,
                                       int32_t n, int32_t sum[4])
{
    int32_t line = s->dilation_h * s->in_w * s->channels, next = s->dilation_w * s->channels;
    for (int32_t ky = t->first_y; ky < t->last_y; ky++) {
        const int8_t *from = x + ky * line + t->first_x * next;
        const int8_t *weight = w + (ky * s->taps_w + t->first_x) * s->channels;
        for (int32_t kx = t->first_x; kx < t->last_x; kx++) {
            if (n == 4) {
#if defined(TRINE_DSP)
                uint32_t a = trine_load4(from), b = trine_load4(weight);
                uint32_t ae = trine_even(a), ao = trine_odd(a), be = trine_even(b), bo = trine_odd(b);
                sum[0] += (int16_t)ae * (int16_t)be;
                sum[1] += (int16_t)ao * (int16_t)bo;
                sum[2] += ((int32_t)ae >> 16) * ((int32_t)be >> 16);
                sum[3] += ((int32_t)ao >> 16) * ((int32_t)bo >> 16);
#else
                sum[0] += from[0] * weight[0];
                sum[1] += from[1] * weight[1];
                sum[2] += from[2] * weight[2];
                sum[3] += from[3] * weight[3];
#endif
            } else {
                for (int32_t i = 0; i < n; i++)
                    sum[i] += from[i] * weight[i];
            }
            from += next;
            weight += s->channels;
        }
    }
}

/* What the taps outside the image add: the zero point times their weights. */
static void trine_depthwise_padding(const int8_t *w, const trine_taps *t, const trine_shape *s, int32_t n,
                                    int32_t sum[4])
{
    for (int32_t ky = 0; ky < s->taps_h; ky++)
        for (int32_t kx = 0; kx < s->taps_w; kx++) {
            int32_t inside = ky >= t->first_y && ky < t->last_y && kx >= t->first_x && kx < t->last_x;
            for (int32_t i = 0; i < n && !inside; i++)
                sum[i] += s->zero_point * w[(ky * s->taps_w + kx) * s->channels + i];
        }
}

/* Taps of one axis inside [0, size) for a window that begins at `from`. */
TRINE_INLINE void trine_inside(int32_t from, int32_t size, int32_t taps, int32_t dilation, int32_t *first,
                               int32_t *last)
{
    int32_t low = 0, high = taps;
    while (low < taps && from + low * dilation < 0)
        low++;
    while (high > low && from + (high - 1) * dilation >= size)
        high--;
    *first = low;
    *last = high;
}

static void trine_depthwise(const int8_t *x, int8_t *y, const trine_shape *s, const trine_linear *p)
{
    trine_taps t;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        int32_t iy = oy * s->stride_h - s->top;
        trine_inside(iy, s->in_h, s->taps_h, s->dilation_h, &t.first_y, &t.last_y);
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            int32_t ix = ox * s->stride_w - s->left;
            trine_inside(ix, s->in_w, s->taps_w, s->dilation_w, &t.first_x, &t.last_x);
            int32_t padded = (t.last_y - t.first_y) * (t.last_x - t.first_x) < s->taps_h * s->taps_w;
            const int8_t *from = x + (iy * s->in_w + ix) * s->channels;
            const trine_channel *channel = p->channel;
            int32_t c = 0;
#if defined(TRINE_MVE)
            int32_t line = s->dilation_h * s->in_w * s->channels, next = s->dilation_w * s->channels;
            for (; c + 4 <= s->channels && !padded; c += 4, channel += 4) {
                int32x4_t sums = {channel[0].bias, channel[1].bias, channel[2].bias, channel[3].bias};
                const int8_t *weight = p->weight + c;
                for (int32_t ky = 0; ky < s->taps_h; ky++)
                    for (int32_t kx = 0; kx < s->taps_w; kx++, weight += s->channels)
                        sums = vaddq_s32(sums, vmulq_s32(vldrbq_s32(from + c + ky * line + kx * next),
                                                           vldrbq_s32(weight)));
                for (int i = 0; i < 4; i++)
                    y[c + i] = trine_finish(sums[i], channel + i, p);
            }
#endif
            for (; c < s->channels; c += 4, channel += 4) {
                int32_t n = s->channels - c < 4 ? s->channels - c : 4;
                int32_t sum[4] = {0, 0, 0, 0};
                for (int32_t i = 0; i < n; i++)
                    sum[i] = channel[i].bias;
                if (n == 4)
                    trine_depthwise_sums(from + c, p->weight + c, &t, s, 4, sum);
                else
                    trine_depthwise_sums(from + c, p->weight + c, &t, s, n, sum);
                if (padded)
                    trine_depthwise_padding(p->weight + c, &t, s, n, sum);
                for (int32_t i = 0; i < n; i++)
                    y[c + i] = trine_finish(sum[i], channel + i, p);
            }
            y += s->channels;
        }
    }
}
