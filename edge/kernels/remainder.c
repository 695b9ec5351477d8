/* A whole number rounded to 24 bits, half to even, as a float holds it. */
TRINE_MAYBE_UNUSED static int64_t trine_in_float(int64_t value)
{
    uint64_t size = (uint64_t)(value < 0 ? -value : value);
    int32_t shift = 0;
    while ((size >> shift) >> 24)
        shift++;
    if (shift)
        size = ((size + (((uint64_t)1 << shift) >> 1) - 1 + ((size >> shift) & 1)) >> shift) << shift;
    return value < 0 ? -(int64_t)size : (int64_t)size;
}

/* The remainder of a by b, with a's sign, 0 where b is 0: how many of 255 thresholds it reaches. */
TRINE_MAYBE_UNUSED static int8_t trine_remainder(int64_t a, int64_t b, const int64_t *steps)
{
    int64_t remainder = b ? a % b : 0;
    int32_t reached = 0;
    for (int32_t width = 128; width > 0; width >>= 1)
        if (steps[reached + width - 1] <= remainder)
            reached += width;
    return (int8_t)(reached - 128);
}
