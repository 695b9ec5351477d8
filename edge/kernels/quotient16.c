/* a m / (b 2^shift), halves up; by 0 it saturates by the sign of a, and 0 / 0 is 0. */
TRINE_INLINE int16_t trine_quotient16(int32_t a, int32_t b, int32_t multiplier, int32_t shift, int32_t low,
                                      int32_t high)
{
    int64_t n = (int64_t)a * multiplier, d = (int64_t)b * ((int64_t)1 << shift);
    int64_t q = a > 0 ? 32768 : a < 0 ? -32768 : 0;
    if (b != 0)
        q = trine_floor_divide(2 * (b < 0 ? -n : n) + (b < 0 ? -d : d), 2 * (b < 0 ? -d : d));
    return (int16_t)(q < low ? low : q > high ? high : q);
}
