/* Windows of a channels-last image for pooling; cells from `low` to before `high` count in a mean. */
typedef struct {
    int32_t in_h, in_w, channels;
    int32_t taps_h, taps_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    int32_t out_h, out_w;
    int32_t low_h, low_w, high_h, high_w;
    int32_t zero_point;
} trine_pool;

/* Taps first..last - 1 of a window that begins at `start` lie in low..high - 1. */
typedef struct {
    int32_t first, last;
} trine_taps;

TRINE_INLINE trine_taps trine_inside(int32_t start, int32_t dilation, int32_t taps, int32_t low, int32_t high)
{
    trine_taps inside = {0, taps};
    while (inside.first < taps && start + inside.first * dilation < low)
        inside.first++;
    while (inside.last > inside.first && start + (inside.last - 1) * dilation >= high)
        inside.last--;
    return inside;
}

TRINE_MAYBE_UNUSED static void trine_max_pool(const int8_t *x, int8_t *y, const trine_pool *s)
{
    int32_t line = s->dilation_h * s->in_w * s->channels, next = s->dilation_w * s->channels;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        int32_t iy = oy * s->stride_h - s->top;
        trine_taps v = trine_inside(iy, s->dilation_h, s->taps_h, 0, s->in_h);
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            int32_t ix = ox * s->stride_w - s->left;
            trine_taps h = trine_inside(ix, s->dilation_w, s->taps_w, 0, s->in_w);
            int32_t start = (iy + v.first * s->dilation_h) * s->in_w + ix + h.first * s->dilation_w;
            for (int32_t c = 0; c < s->channels; c++) {
                const int8_t *row = x + start * s->channels + c;
                int32_t best = -128;
                for (int32_t ky = v.first; ky < v.last; ky++, row += line) {
                    const int8_t *from = row;
                    for (int32_t kx = h.first; kx < h.last; kx++, from += next)
                        best = *from > best ? *from : best;
                }
                y[c] = (int8_t)best;
            }
        }
    }
}

/* Means of windows; `channel` holds an entry for each count from `least` on, or a single one for all. */
TRINE_MAYBE_UNUSED static void trine_mean(const int8_t *x, int8_t *y, const trine_pool *s,
                                          const trine_channel *channel, int32_t least, int32_t scale_up,
                                          int32_t low, int32_t high)
{
    int32_t line = s->dilation_h * s->in_w * s->channels, next = s->dilation_w * s->channels;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        int32_t iy = oy * s->stride_h - s->top;
        trine_taps v = trine_inside(iy, s->dilation_h, s->taps_h, 0, s->in_h);
        trine_taps counted_v = trine_inside(iy, s->dilation_h, s->taps_h, s->low_h, s->high_h);
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            int32_t ix = ox * s->stride_w - s->left;
            trine_taps h = trine_inside(ix, s->dilation_w, s->taps_w, 0, s->in_w);
            trine_taps counted_h = trine_inside(ix, s->dilation_w, s->taps_w, s->low_w, s->high_w);
            int32_t count = (counted_v.last - counted_v.first) * (counted_h.last - counted_h.first);
            const trine_channel *r = channel + (count > least ? count - least : 0);
            int32_t zero = -s->zero_point * (v.last - v.first) * (h.last - h.first);
            int32_t start = (iy + v.first * s->dilation_h) * s->in_w + ix + h.first * s->dilation_w;
            for (int32_t c = 0; c < s->channels; c++) {
                const int8_t *row = x + start * s->channels + c;
                int32_t sum = zero;
                for (int32_t ky = v.first; ky < v.last; ky++, row += line) {
                    const int8_t *from = row;
                    for (int32_t kx = h.first; kx < h.last; kx++, from += next)
                        sum += *from;
                }
                y[c] = trine_requantize(sum * scale_up, r, low, high);
            }
        }
    }
}
