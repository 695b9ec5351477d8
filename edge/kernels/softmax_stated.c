/* Softmax as stated: `n` values `stride` bytes apart, in float32; exponentials[max - x], `whole` steps to one. */
static void trine_softmax_stated(const int8_t *x, int8_t *y, const float *exponentials, int32_t n, int32_t stride,
                                 float whole, int32_t zero_point)
{
    int32_t greatest = -128;
    float sum = 0.0f;
    for (int32_t i = 0; i < n; i++)
        greatest = x[i * stride] > greatest ? x[i * stride] : greatest;
    for (int32_t i = 0; i < n; i++)
        sum += exponentials[greatest - x[i * stride]];
    for (int32_t i = 0; i < n; i++) {
        float real = exponentials[greatest - x[i * stride]] * whole / sum;
        real = real > 1000.0f ? 1000.0f : real;
        /* Half to even: adding 1.5 * 2^23 rounds. */
        y[i * stride] = (int8_t)trine_clamp((int32_t)((real + 12582912.0f) - 12582912.0f) + zero_point, -128, 127);
    }
}
