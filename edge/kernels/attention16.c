/* As of int8, zero points 0; `powers` is the table of `trine_power16`, scores are cut by `narrow` bits. */
typedef struct {
    const int32_t *powers;
    int32_t rows, depth, keys, values;
    int32_t multiplier, shift, bits, ratio;
    int32_t narrow, next_row;
} trine_attention16_shape;

/* y = softmax(a b) v, row after row; `scores` has room for one row. Keys whose `mask` is 0 are left out. */
static void trine_attention16(const int16_t *a, const int16_t *b, const int16_t *v, int16_t *y, int32_t *scores,
                              const uint8_t *mask, const trine_attention16_shape *p)
{
    for (int32_t i = 0; i < p->rows; i++, a += p->depth) {
        const uint8_t *shown = mask ? mask + i * p->next_row : 0;
        int32_t greatest = INT32_MIN, cut = 0;
        int64_t total = 0;
        for (int32_t j = 0; j < p->keys; j++) {
            int64_t sum = 0;
            if (shown && !shown[j]) {
                scores[j] = INT32_MIN; /* no score is as low */
                continue;
            }
            for (int32_t k = 0; k < p->depth; k++)
                sum += (int32_t)a[k] * b[k * p->keys + j];
            scores[j] = (int32_t)(sum >> p->narrow);
            greatest = scores[j] > greatest ? scores[j] : greatest;
        }
        for (int32_t j = 0; j < p->keys; j++) {
            scores[j] = scores[j] == INT32_MIN
                            ? 0
                            : (int32_t)trine_power16(p->powers, greatest - scores[j], p->multiplier, p->shift);
            total += scores[j];
        }
        while (total >> cut >> 24)
            cut++;
        total >>= cut;
        int64_t unit = (total ? total : 1) * ((int64_t)1 << p->bits);
        for (int32_t c = 0; c < p->values; c++) {
            int64_t sum = 0;
            for (int32_t j = 0; j < p->keys; j++)
                sum += (int64_t)scores[j] * v[j * p->values + c];
            int64_t q = trine_floor_divide(2 * (sum >> cut) * p->ratio + unit, 2 * unit);
            *y++ = (int16_t)(q < -32768 ? -32768 : q > 32767 ? 32767 : q);
        }
    }
}
