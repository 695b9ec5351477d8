/* Windows of a channels-last image; a signal has height 1. `inputs` of `channels` belong to one group. */
typedef struct {
    int32_t in_h, in_w, channels, inputs;
    int32_t taps_h, taps_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    int32_t out_h, out_w, out_channels, groups;
    int32_t zero_point;
    int32_t direct; /* a window inside the image lies in one piece */
} trine_shape;

/* The bytes of one window in a row: in place if they lie so, else gathered, the zero point where there is padding. */
static const int8_t *trine_window(const int8_t *x, int32_t oy, int32_t ox, int8_t *scratch, const trine_shape *s,
                                  int32_t row)
{
    int32_t iy = oy * s->stride_h - s->top, ix = ox * s->stride_w - s->left;
    if (s->direct && iy >= 0 && iy < s->in_h && ix >= 0 && ix + s->taps_w <= s->in_w) {
        int32_t start = (iy * s->in_w + ix) * s->channels;
        if (start + row <= s->in_h * s->in_w * s->channels)
            return x + start;
    }
    int8_t *to = scratch;
    int32_t whole = s->dilation_w == 1 && s->inputs == s->channels;
    for (int32_t ky = 0; ky < s->taps_h; ky++) {
        int32_t y = iy + ky * s->dilation_h;
        int32_t bytes = s->taps_w * s->inputs;
        if (y < 0 || y >= s->in_h) {
            trine_fill(to, s->zero_point, bytes);
            to += bytes;
        } else if (whole) {
            int32_t first = ix < 0 ? -ix : 0, last = s->in_w - ix;
            last = last > s->taps_w ? s->taps_w : last;
            last = last < first ? first : last;
            trine_fill(to, s->zero_point, first * s->inputs);
            trine_copy(to + first * s->inputs, x + (y * s->in_w + ix + first) * s->channels,
                       (last - first) * s->inputs);
            trine_fill(to + last * s->inputs, s->zero_point, (s->taps_w - last) * s->inputs);
            to += bytes;
        } else {
            for (int32_t kx = 0; kx < s->taps_w; kx++, to += s->inputs) {
                int32_t at = ix + kx * s->dilation_w;
                if (at < 0 || at >= s->in_w)
                    trine_fill(to, s->zero_point, s->inputs);
                else
                    trine_copy(to, x + (y * s->in_w + at) * s->channels, s->inputs);
            }
        }
    }
    return scratch;
}

typedef void trine_pair(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1, int8_t *expanded,
                        const trine_linear *p);

/* All windows of one group, two at a time, through `run`. */
TRINE_INLINE void trine_windows(const int8_t *x, int8_t *out, int8_t *scratch, const trine_shape *s,
                                const trine_linear *p, trine_pair *run)
{
    int32_t oy = 0, ox = 0;
    for (int32_t left = s->out_h * s->out_w; left > 0; left -= 2) {
        const int8_t *x0 = trine_window(x, oy, ox, scratch, s, p->row), *x1 = x0;
        int8_t *out1 = out;
        if (++ox == s->out_w)
            ox = 0, oy++;
        if (left > 1) {
            x1 = trine_window(x, oy, ox, scratch + p->row, s, p->row);
            out1 = out + s->out_channels;
            if (++ox == s->out_w)
                ox = 0, oy++;
        }
        run(x0, x1, out, out1, scratch + 2 * p->row, p);
        out += 2 * s->out_channels;
    }
}

TRINE_MAYBE_UNUSED static void trine_conv(const int8_t *x, int8_t *y, int8_t *scratch, const trine_shape *s,
                                          trine_linear p)
{
    for (int32_t group = 0; group < s->groups; group++) {
        trine_windows(x, y + group * p.outputs, scratch, s, &p, trine_two_windows);
        x += s->inputs;
        p.weight += (p.outputs + (p.outputs & 1)) * p.row;
        p.channel += p.outputs;
    }
}
