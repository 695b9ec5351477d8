/* 2^-u in units of 2^-23 for u in 2^-20; table: 2^23 2^(-i / 256), i = 0..256. */
TRINE_INLINE uint32_t trine_power16(const int32_t *table, int32_t distance, int32_t multiplier, int32_t shift)
{
    int64_t far = ((int64_t)distance * multiplier) >> shift;
    int32_t u = far > ((int32_t)31 << 20) ? (int32_t)31 << 20 : (int32_t)far;
    const int32_t *at = table + ((u >> 12) & 255);
    uint32_t fine = (uint32_t)(at[0] - (((at[0] - at[1]) * (u & 4095) + 2048) >> 12));
    return (fine + ((1u << (u >> 20)) >> 1)) >> (u >> 20);
}

/* Along one axis: `n` values `stride` apart. One division, bit by bit: 2^61 over the sum, which is shifted to 31 bits. */
TRINE_MAYBE_UNUSED static void trine_softmax16(const int16_t *x, int16_t *y, const int32_t *table, int32_t multiplier,
                                               int32_t shift, int32_t n, int32_t stride)
{
    int32_t greatest = -32768, up = 0;
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        greatest = x[i * stride] > greatest ? x[i * stride] : greatest;
    for (int32_t i = 0; i < n; i++)
        sum += trine_power16(table, greatest - x[i * stride], multiplier, shift);
    for (; sum >> 31; up--)
        sum >>= 1;
    uint32_t level = (uint32_t)sum, rest = (uint32_t)1 << 30, share = 0;
    for (; !(level >> 30); up++)
        level <<= 1;
    for (int32_t i = 0; i < 32; i++) {
        share <<= 1;
        if (rest >= level) {
            rest -= level;
            share |= 1;
        }
        rest <<= 1;
    }
    for (int32_t i = 0; i < n; i++) {
        uint64_t e = trine_power16(table, greatest - x[i * stride], multiplier, shift);
        uint32_t q = (uint32_t)((e * share + ((uint64_t)1 << (45 - up))) >> (46 - up));
        y[i * stride] = (int16_t)(q > 32767 ? 32767 : q);
    }
}
