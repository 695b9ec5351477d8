/* One phase of a transposed convolution: a plain convolution of stride 1 whose results lie step_h and step_w bytes
   apart. */
TRINE_MAYBE_UNUSED static void trine_conv_phase(const int8_t *x, int8_t *y, int8_t *scratch, const trine_shape *s,
                                                trine_linear p, int32_t step_h, int32_t step_w)
{
    for (int32_t group = 0; group < s->groups; group++) {
        int8_t *row = y + group * p.outputs;
        int32_t oy = 0, ox = 0;
        for (int32_t left = s->out_h * s->out_w; left > 0; left -= 2) {
            const int8_t *x0 = trine_window(x, oy, ox, scratch, s, p.row), *x1 = x0;
            int8_t *out0 = row + ox * step_w, *out1 = out0;
            if (++ox == s->out_w)
                ox = 0, oy++, row += step_h;
            if (left > 1) {
                x1 = trine_window(x, oy, ox, scratch + p.row, s, p.row);
                out1 = row + ox * step_w;
                if (++ox == s->out_w)
                    ox = 0, oy++, row += step_h;
            }
            trine_two_windows(x0, x1, out0, out1, scratch + 2 * p.row, &p);
        }
        x += s->inputs;
        p.weight += (p.outputs + (p.outputs & 1)) * p.row;
        p.channel += p.outputs;
    }
}
