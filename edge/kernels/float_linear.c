/* Convolution of a signal or an image in ONNX order (channels first), in float. */
typedef struct {
    int32_t in_h, in_w, group_inputs; /* channels a filter reads */
    int32_t taps_h, taps_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    int32_t out_h, out_w, outputs, group_outputs;
} trine_float_conv;

/* Taps first..last - 1 of a window that begins at `start` lie inside 0..size - 1. */
TRINE_INLINE void trine_span(int32_t start, int32_t dilation, int32_t taps, int32_t size, int32_t *first,
                             int32_t *last)
{
    *first = 0;
    *last = taps;
    while (*first < taps && start + *first * dilation < 0)
        ++*first;
    while (*last > *first && start + (*last - 1) * dilation >= size)
        --*last;
}

TRINE_MAYBE_UNUSED static void trine_conv_float(const float *x, float *y, const float *weight, const float *bias,
                                                const trine_float_conv *s)
{
    int32_t image = s->in_h * s->in_w, taps = s->taps_h * s->taps_w;
    for (int32_t o = 0; o < s->outputs; o++, weight += s->group_inputs * taps) {
        const float *source = x + o / s->group_outputs * s->group_inputs * image;
        for (int32_t oy = 0; oy < s->out_h; oy++) {
            int32_t iy = oy * s->stride_h - s->top, top, bottom;
            trine_span(iy, s->dilation_h, s->taps_h, s->in_h, &top, &bottom);
            for (int32_t ox = 0; ox < s->out_w; ox++) {
                int32_t ix = ox * s->stride_w - s->left, left, right;
                float sum = bias ? bias[o] : 0.0f;
                trine_span(ix, s->dilation_w, s->taps_w, s->in_w, &left, &right);
                for (int32_t c = 0; c < s->group_inputs; c++)
                    for (int32_t ky = top; ky < bottom; ky++) {
                        const float *row = source + c * image + (iy + ky * s->dilation_h) * s->in_w + ix;
                        const float *w = weight + c * taps + ky * s->taps_w;
                        for (int32_t kx = left; kx < right; kx++)
                            sum += w[kx] * row[kx * s->dilation_w];
                    }
                *y++ = sum;
            }
        }
    }
}

/* y[i][j] = sum over k of a[i][k] b[k][j]; one and the other with their own steps between values. */
TRINE_MAYBE_UNUSED static void trine_matmul_float(const float *a, const float *b, float *y, int32_t m, int32_t n,
                                                  int32_t k, int32_t next_b, int32_t along_b)
{
    for (int32_t i = 0; i < m; i++, a += k)
        for (int32_t j = 0; j < n; j++) {
            const float *column = b + j * next_b;
            float sum = 0.0f;
            for (int32_t l = 0; l < k; l++)
                sum += a[l] * column[l * along_b];
            *y++ = sum;
        }
}
