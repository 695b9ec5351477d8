/* An index of an axis of n entries: negative ones count from the end, those beyond stop at it. */
TRINE_INLINE int32_t trine_index(int64_t k, int32_t n)
{
    k = k < 0 ? k + n : k;
    return (int32_t)(k < 0 ? 0 : k >= n ? n - 1 : k);
}
