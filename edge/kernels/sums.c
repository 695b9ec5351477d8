TRINE_INLINE int8_t trine_clamp_wide(int64_t q)
{
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

/* How many of 255 ascending thresholds a sum has reached, as a code: by halving. */
TRINE_MAYBE_UNUSED static int8_t trine_steps(int32_t sum, const int32_t *steps)
{
    int32_t reached = 0;
    for (int32_t width = 128; width > 0; width >>= 1)
        if (steps[reached + width - 1] <= sum)
            reached += width;
    return (int8_t)(reached - 128);
}

/* A 64-bit whole number, saturated to 32 bits. */
TRINE_INLINE int32_t trine_whole(int64_t x)
{
    return (int32_t)(x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : x);
}
