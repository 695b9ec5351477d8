/* Runs of int16, as those of int8. */
static void trine_normalise16(const int16_t *x, int16_t *y, const trine_norm *p)
{
    int32_t channel = 0, left = p->inner;
    for (int32_t run = 0; run < p->count; run++, x += p->length, y += p->length) {
        int32_t sum = 0, shift;
        int64_t squares = 0;
        for (int32_t i = 0; i < p->length; i++) {
            sum += x[i];
            squares += (int32_t)x[i] * x[i];
        }
        if (!p->centred)
            sum = 0;
        int64_t root = trine_root_of_run(sum, squares, p, &shift);
        for (int32_t i = 0; i < p->length; i++) {
            int32_t d = p->length * x[i] - sum;
            y[i] = trine_requantize16((int32_t)((d * root) >> shift), p->channel + channel, p->low, p->high);
            if (--left == 0) {
                left = p->inner;
                channel = channel + 1 == p->channels ? 0 : channel + 1;
            }
        }
    }
}
