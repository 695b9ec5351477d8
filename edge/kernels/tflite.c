/* TensorFlow Lite's rounding: a doubling high multiply that rounds, then a shift that rounds (gemmlowp). */
TRINE_INLINE int32_t trine_tflite(int32_t sum, int32_t multiplier, int32_t right)
{
    int64_t x = right < 0 ? (int64_t)sum * ((int64_t)1 << -right) : sum;
    int64_t product = x * multiplier;
    int32_t high = (int32_t)((product + (product >= 0 ? (1 << 30) : 1 - (1 << 30))) / ((int64_t)1 << 31));
    if (right <= 0)
        return high;
    int32_t mask = (int32_t)(((int64_t)1 << right) - 1), rest = high & mask;
    return (high >> right) + (rest > (mask >> 1) + (high < 0));
}
