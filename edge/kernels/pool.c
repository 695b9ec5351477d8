/* Windows of a channels-last image for pooling. */
typedef struct {
    int32_t in_h, in_w, channels;
    int32_t taps_h, taps_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    int32_t out_h, out_w;
} trine_pool;

TRINE_MAYBE_UNUSED static void trine_max_pool(const int8_t *x, int8_t *y, const trine_pool *s)
{
    for (int32_t oy = 0; oy < s->out_h; oy++)
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            int32_t first = 1;
            for (int32_t ky = 0; ky < s->taps_h; ky++)
                for (int32_t kx = 0; kx < s->taps_w; kx++) {
                    int32_t iy = oy * s->stride_h - s->top + ky * s->dilation_h;
                    int32_t ix = ox * s->stride_w - s->left + kx * s->dilation_w;
                    if (iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w)
                        continue;
                    const int8_t *from = x + (iy * s->in_w + ix) * s->channels;
                    for (int32_t c = 0; c < s->channels; c++)
                        if (first || from[c] > y[c])
                            y[c] = from[c];
                    first = 0;
                }
        }
}

/* Means of windows; `channel` holds an entry for each count of values, or a single one. */
TRINE_MAYBE_UNUSED static void trine_mean(const int8_t *x, int8_t *y, const trine_pool *s,
                                          const trine_channel *channel, int32_t entries, int32_t left_shift,
                                          int32_t low, int32_t high)
{
    for (int32_t oy = 0; oy < s->out_h; oy++)
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            int32_t y0 = oy * s->stride_h - s->top, x0 = ox * s->stride_w - s->left;
            int32_t y1 = y0 + s->taps_h, x1 = x0 + s->taps_w;
            y0 = y0 < 0 ? 0 : y0, x0 = x0 < 0 ? 0 : x0;
            y1 = y1 > s->in_h ? s->in_h : y1, x1 = x1 > s->in_w ? s->in_w : x1;
            int32_t count = (y1 - y0) * (x1 - x0);
            const trine_channel *r = channel + (entries > 1 ? count - 1 : 0);
            /* Padding that counts holds the zero point: bias is for the whole window, so give back what is missing. */
            int32_t missing = entries > 1 ? 0 : s->taps_h * s->taps_w - count;
            int32_t start = r->bias - (missing ? missing * (r->bias / (s->taps_h * s->taps_w)) : 0);
            for (int32_t c = 0; c < s->channels; c++) {
                int32_t sum = start;
                for (int32_t iy = y0; iy < y1; iy++) {
                    const int8_t *from = x + (iy * s->in_w + x0) * s->channels + c;
                    for (int32_t ix = x0; ix < x1; ix++, from += s->channels)
                        sum += *from;
                }
                y[c] = trine_requantize(sum * (1 << left_shift), r, low, high);
            }
        }
}
