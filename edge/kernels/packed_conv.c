/* trine_conv for packed rows. Weights of 2 bits have no zero: windows are copied, with zeros behind, where rows are padded. */
TRINE_INLINE void trine_conv_packed(const int8_t *x, int8_t *y, int8_t *scratch, const trine_shape *s, trine_linear p,
                                    int bits)
{
    int32_t outputs = p.outputs;
    trine_fill(scratch + p.length, 0, p.row - p.length);
    trine_fill(scratch + p.row + p.length, 0, p.row - p.length);
    for (int32_t group = 0; group < s->groups; group++, x += s->inputs) {
        p.outputs = outputs;
#if defined(TRINE_DSP)
        trine_windows(x, y + group * outputs, scratch, s, &p, bits == 4 ? trine_two_windows_4 : trine_two_windows_2);
        p.weight += 4 * trine_words(outputs, &p, bits);
        p.channel += outputs;
#else
        for (int8_t *out = y + group * outputs; p.outputs > 0; out += TRINE_BLOCK) {
            trine_linear part = trine_next_rows(&p, scratch + 2 * p.row, TRINE_BLOCK, bits);
            trine_windows(x, out, scratch, s, &part, trine_two_windows);
        }
#endif
    }
}

TRINE_MAYBE_UNUSED static void trine_conv_4(const int8_t *x, int8_t *y, int8_t *scratch, const trine_shape *s,
                                            trine_linear p)
{
    trine_conv_packed(x, y, scratch, s, p, 4);
}

TRINE_MAYBE_UNUSED static void trine_conv_2(const int8_t *x, int8_t *y, int8_t *scratch, const trine_shape *s,
                                            trine_linear p)
{
    trine_conv_packed(x, y, scratch, s, p, 2);
}
