/* Windows of a channels-last image of int16; a signal has height 1. `inputs` of `channels` belong to one group. */
typedef struct {
    int32_t in_h, in_w, channels, inputs;
    int32_t taps_h, taps_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    int32_t out_h, out_w, out_channels, groups;
    int32_t direct; /* a window inside the image lies in one piece */
} trine_shape16;

/* `n` int16 values copied, or zeros where `from` is none; returns what lies behind them. */
TRINE_INLINE int16_t *trine_put16(int16_t *to, const int16_t *from, int32_t n)
{
    if (from)
        trine_copy((int8_t *)to, (const int8_t *)from, 2 * n);
    else
        trine_fill((int8_t *)to, 0, 2 * n);
    return to + n;
}

/* One window in a row, at a whole word: in place if it lies so, else gathered, zeros where there is padding. */
static const int16_t *trine_window16(const int16_t *x, int32_t oy, int32_t ox, int16_t *scratch, const trine_shape16 *s,
                                     const trine_linear16 *p)
{
    int32_t iy = oy * s->stride_h - s->top, ix = ox * s->stride_w - s->left;
    if (s->direct && iy >= 0 && iy < s->in_h && ix >= 0 && ix + s->taps_w <= s->in_w) {
        int32_t start = (iy * s->in_w + ix) * s->channels;
        return trine_aligned16(x + start, scratch, s->in_h * s->in_w * s->channels - start, p);
    }
    int16_t *to = scratch;
    for (int32_t ky = 0; ky < s->taps_h; ky++) {
        int32_t y = iy + ky * s->dilation_h;
        if (y < 0 || y >= s->in_h) {
            to = trine_put16(to, 0, s->taps_w * s->inputs);
        } else if (s->dilation_w == 1 && s->inputs == s->channels) {
            int32_t first = ix < 0 ? -ix : 0, last = s->in_w - ix;
            last = last > s->taps_w ? s->taps_w : last;
            last = last < first ? first : last;
            first = first > s->taps_w ? s->taps_w : first;
            last = last > s->taps_w ? s->taps_w : last;
            to = trine_put16(to, 0, first * s->inputs);
            to = trine_put16(to, x + (y * s->in_w + ix + first) * s->channels, (last - first) * s->inputs);
            to = trine_put16(to, 0, (s->taps_w - last) * s->inputs);
        } else {
            for (int32_t kx = 0, at = ix; kx < s->taps_w; kx++, at += s->dilation_w)
                to = trine_put16(to, at < 0 || at >= s->in_w ? 0 : x + (y * s->in_w + at) * s->channels, s->inputs);
        }
    }
    return scratch;
}

/* All windows, two at a time; their results lie step_h and step_w values apart: a plain convolution, or one phase of a
   transposed one. */
TRINE_MAYBE_UNUSED static void trine_conv_phase16(const int16_t *x, int16_t *y, int16_t *scratch, const trine_shape16 *s,
                                                  trine_linear16 p, int32_t step_h, int32_t step_w)
{
    for (int32_t group = 0; group < s->groups; group++) {
        int32_t oy = 0, ox = 0;
        int16_t *row = y + group * p.outputs;
        for (int32_t left = s->out_h * s->out_w; left > 0; left -= 2) {
            const int16_t *x0 = trine_window16(x, oy, ox, scratch, s, &p);
            int16_t *out0 = row + ox * step_w;
            if (++ox == s->out_w)
                ox = 0, oy++, row += step_h;
            if (left == 1) {
                trine_one_window16(x0, out0, &p);
                break;
            }
            const int16_t *x1 = trine_window16(x, oy, ox, scratch + p.row, s, &p);
            int16_t *out1 = row + ox * step_w;
            if (++ox == s->out_w)
                ox = 0, oy++, row += step_h;
            trine_two_windows16(x0, x1, out0, out1, &p);
        }
        x += s->inputs;
        p.weight += (p.outputs + (p.outputs & 1)) * p.row;
        p.channel += p.outputs;
    }
}

TRINE_MAYBE_UNUSED static void trine_conv16(const int16_t *x, int16_t *y, int16_t *scratch, const trine_shape16 *s,
                                            trine_linear16 p)
{
    trine_conv_phase16(x, y, scratch, s, p, s->out_w * s->out_channels, s->out_channels);
}
