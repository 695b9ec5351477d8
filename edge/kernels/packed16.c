/* Weights of 4 or 2 bits with int16 inputs: a few rows at a time are unpacked, and all windows meet them. Two bits have no
   zero, so what pads a row is cleared. */
static trine_linear16 trine_next_rows16(trine_linear16 *p, int8_t *rows, int bits)
{
    trine_linear16 part = *p;
    part.outputs = p->outputs < TRINE_BLOCK ? p->outputs : TRINE_BLOCK;
    part.weight = rows;
    int32_t even = part.outputs + (part.outputs & 1), words = even * p->row * bits / 32;
    if (bits == 4)
        trine_unpack_4(p->weight, rows, words);
    else
        trine_unpack_2(p->weight, rows, words);
    for (int32_t row = 0; row < even; row++)
        for (int32_t tap = p->length; tap < p->row; tap++) {
            int32_t paired = row / 2 * 2 * p->row + tap / 4 * 8 + row % 2 * 4 + TRINE_BYTE16(tap % 4);
            rows[TRINE_PAIRED ? paired : row * p->row + tap] = 0;
        }
    p->weight += 4 * words;
    p->channel += part.outputs;
    p->outputs -= part.outputs;
    return part;
}

TRINE_MAYBE_UNUSED static void trine_conv16_packed(const int16_t *x, int16_t *y, int16_t *scratch, int8_t *rows,
                                                   const trine_shape16 *s, trine_linear16 p, int bits)
{
    trine_shape16 one = *s;
    int32_t outputs = p.outputs;
    one.groups = 1;
    for (int32_t group = 0; group < s->groups; group++, x += s->inputs)
        for (p.outputs = outputs; p.outputs > 0;) {
            trine_linear16 part = trine_next_rows16(&p, rows, bits);
            trine_conv16(x, y, scratch, &one, part);
            y += part.outputs;
        }
}

TRINE_MAYBE_UNUSED static void trine_dense16_packed(const int16_t *x, int16_t *y, int16_t *scratch, int8_t *rows,
                                                    int32_t count, trine_linear16 p, int bits)
{
    for (int32_t outputs = p.outputs; p.outputs > 0;) {
        trine_linear16 part = trine_next_rows16(&p, rows, bits);
        trine_dense16(x, y, scratch, count, outputs, &part);
        y += part.outputs;
    }
}
