/* log2 of 1..2^32 - 1 in 2^-24: the place of the highest bit, a table of 257 entries, straight lines between them. */
TRINE_MAYBE_UNUSED static int64_t trine_log2(uint32_t x, const int32_t *table)
{
    int32_t place = 31, index;
    while (!(x & 0x80000000u)) {
        x <<= 1;
        place--;
    }
    index = (int32_t)((x >> 23) & 255u);
    return ((int64_t)place << 24) + table[index]
        + (((int64_t)(table[index + 1] - table[index]) * (int64_t)(x & 0x7fffffu)) >> 23);
}
