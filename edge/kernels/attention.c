/* What attention needs to know; `high` and `low` are e^-i and e^(-j / 256) in fixed point. */
typedef struct {
    const uint16_t *high, *low;
    int32_t rows, depth, keys, values;
    int32_t multiplier, shift, bits, ratio; /* distance of scores -> 256ths; output scale */
    int32_t zero_a, zero_b, zero_v, zero_y;
    int32_t next_row; /* of the mask */
} trine_attention_shape;

/* y = softmax(a b) v, row after row; `scores` has room for one row. Keys whose `mask` is 0 are left out. */
TRINE_MAYBE_UNUSED static void trine_attention(const int8_t *a, const int8_t *b, const int8_t *v, int8_t *y,
                                               int32_t *scores, const uint8_t *mask, const trine_attention_shape *p)
{
    for (int32_t i = 0; i < p->rows; i++, a += p->depth) {
        const uint8_t *shown = mask ? mask + i * p->next_row : 0;
        int32_t greatest = INT32_MIN, total = 0;
        for (int32_t j = 0; j < p->keys; j++) {
            int32_t sum = 0;
            if (shown && !shown[j]) {
                scores[j] = INT32_MIN; /* no score is as low */
                continue;
            }
            for (int32_t k = 0; k < p->depth; k++)
                sum += (int32_t)(a[k] - p->zero_a) * (b[k * p->keys + j] - p->zero_b);
            scores[j] = sum;
            greatest = sum > greatest ? sum : greatest;
        }
        for (int32_t j = 0; j < p->keys; j++) {
            if (scores[j] == INT32_MIN) {
                scores[j] = 0;
                continue;
            }
            int64_t at = (((int64_t)(greatest - scores[j])) * p->multiplier + ((int64_t)1 << (p->shift - 1))) >> p->shift;
            scores[j] = at < 4096 ? (int32_t)(((uint32_t)p->high[at >> 8] * p->low[at & 255]) >> 16) : 0;
            total += scores[j];
        }
        int64_t unit = (int64_t)(total ? total : 1) * ((int64_t)1 << p->bits);
        for (int32_t c = 0; c < p->values; c++) {
            int64_t sum = 0;
            for (int32_t j = 0; j < p->keys; j++)
                sum += (int64_t)scores[j] * (v[j * p->values + c] - p->zero_v);
            int64_t q = trine_floor_divide(2 * sum * p->ratio + unit, 2 * unit) + p->zero_y;
            *y++ = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
        }
    }
}
