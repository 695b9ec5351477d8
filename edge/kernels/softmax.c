/* Along one axis: `n` values `stride` bytes apart; exponentials[max - x] in fixed point. */
static void trine_softmax(const int8_t *x, int8_t *y, const uint32_t *exponentials, int32_t n, int32_t stride)
{
    int32_t greatest = -128;
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        greatest = x[i * stride] > greatest ? x[i * stride] : greatest;
    for (int32_t i = 0; i < n; i++)
        sum += exponentials[greatest - x[i * stride]];
    for (int32_t i = 0; i < n; i++) {
        int32_t q = (int32_t)((exponentials[greatest - x[i * stride]] * 256u + sum / 2u) / sum) - 128;
        y[i * stride] = (int8_t)(q > 127 ? 127 : q);
    }
}
