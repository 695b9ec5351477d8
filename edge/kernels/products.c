/* m * 2^e, |m| up to 2^30: what a product has come to. */
typedef struct {
    int32_t m, e;
} trine_real;

TRINE_MAYBE_UNUSED static trine_real trine_times(trine_real a, int32_t factor, int32_t exponent)
{
    int64_t product = (int64_t)a.m * factor;
    uint64_t size = (uint64_t)(product < 0 ? -product : product);
    int32_t shift = 0;
    trine_real result;
    while ((size >> shift) > ((uint64_t)1 << 30))
        shift++;
    result.m = (int32_t)((product + (((int64_t)1 << shift) >> 1)) >> shift);
    result.e = a.e + exponent + shift;
    return result;
}

/* The nearest whole number plus a zero point, halves up, as a code. */
TRINE_MAYBE_UNUSED static int8_t trine_real_code(trine_real a, int32_t zero_point)
{
    int32_t down = a.e > 0 ? 0 : a.e < -62 ? 62 : -a.e;
    int64_t near = (a.m + (((int64_t)1 << down) >> 1)) >> down;
    if (a.e > 0)
        near = a.m < 0 ? -((int64_t)1 << 30) : a.m > 0 ? (int64_t)1 << 30 : 0;
    return trine_clamp_wide(near + zero_point);
}
