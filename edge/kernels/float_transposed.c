/* Transposed convolution of a signal or an image in ONNX order (channels first), in float. */
typedef struct {
    int32_t in_h, in_w, group_inputs;
    int32_t taps_h, taps_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    int32_t out_h, out_w, groups, group_outputs;
} trine_float_transposed;

/* The input that a tap brings to an output, -1 where there is none; `at`: the output's place plus the first pad, less
   the tap's. */
TRINE_INLINE int32_t trine_met(int32_t at, int32_t stride, int32_t size)
{
    return at < 0 || at % stride != 0 || at / stride >= size ? -1 : at / stride;
}

static void trine_conv_transpose_float(const float *x, float *y, const float *weight, const float *bias,
                                       const trine_float_transposed *s)
{
    int32_t image = s->in_h * s->in_w, taps = s->taps_h * s->taps_w;
    for (int32_t o = 0; o < s->groups * s->group_outputs; o++) {
        int32_t group = o / s->group_outputs, filter = o % s->group_outputs;
        const float *source = x + group * s->group_inputs * image;
        const float *kernel = weight + (group * s->group_inputs * s->group_outputs + filter) * taps;
        for (int32_t oy = 0; oy < s->out_h; oy++)
            for (int32_t ox = 0; ox < s->out_w; ox++) {
                float sum = bias ? bias[o] : 0.0f;
                for (int32_t ky = 0; ky < s->taps_h; ky++) {
                    int32_t iy = trine_met(oy + s->top - ky * s->dilation_h, s->stride_h, s->in_h);
                    for (int32_t kx = 0; iy >= 0 && kx < s->taps_w; kx++) {
                        int32_t ix = trine_met(ox + s->left - kx * s->dilation_w, s->stride_w, s->in_w);
                        const float *from = source + iy * s->in_w + ix, *w = kernel + ky * s->taps_w + kx;
                        for (int32_t c = 0; ix >= 0 && c < s->group_inputs; c++)
                            sum += from[c * image] * w[c * s->group_outputs * taps];
                    }
                }
                *y++ = sum;
            }
    }
}
