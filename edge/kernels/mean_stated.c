/* A mean of stated scales: `zero` and `raised` are how the model stores the output. */
typedef struct {
    float scale_x, scale_y, zero;
    int32_t raised, low, high;
} trine_stated;

/* Means of windows in float32, cell after cell. */
TRINE_MAYBE_UNUSED static void trine_mean_stated(const int8_t *x, int8_t *y, const trine_pool *s, const trine_stated *p)
{
    int32_t line = s->in_w * s->channels;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        int32_t iy = oy * s->stride_h - s->top;
        trine_taps v = trine_inside(iy, 1, s->taps_h, 0, s->in_h);
        trine_taps counted_v = trine_inside(iy, 1, s->taps_h, s->low_h, s->high_h);
        for (int32_t ox = 0; ox < s->out_w; ox++, y += s->channels) {
            int32_t ix = ox * s->stride_w - s->left;
            trine_taps h = trine_inside(ix, 1, s->taps_w, 0, s->in_w);
            trine_taps counted_h = trine_inside(ix, 1, s->taps_w, s->low_w, s->high_w);
            int32_t count = (counted_v.last - counted_v.first) * (counted_h.last - counted_h.first);
            int32_t start = (iy + v.first) * s->in_w + ix + h.first;
            for (int32_t c = 0; c < s->channels; c++) {
                const int8_t *row = x + start * s->channels + c;
                float sum = 0.0f;
                for (int32_t ky = v.first; ky < v.last; ky++, row += line) {
                    const int8_t *from = row;
                    for (int32_t kx = h.first; kx < h.last; kx++, from += s->channels) {
                        float value = p->scale_x * (float)(*from - s->zero_point);
                        sum += value;
                    }
                }
                float real = sum / (float)count;
                real = real / p->scale_y + p->zero;
                real = real < -1000.0f ? -1000.0f : real > 1000.0f ? 1000.0f : real;
                /* Half to even: adding 1.5 * 2^23 rounds. */
                y[c] = (int8_t)trine_clamp((int32_t)((real + 12582912.0f) - 12582912.0f) - p->raised, p->low, p->high);
            }
        }
    }
}
