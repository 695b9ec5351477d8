/* `count` columns of a ring, `step` apart, the first `lag` before `end`; `capacity` columns of `bytes` each. */
TRINE_MAYBE_UNUSED static void trine_view(int8_t *to, const int8_t *ring, int32_t capacity, int32_t end, int32_t lag,
                                          int32_t count, int32_t step, int32_t bytes)
{
    int32_t at = end - lag;
    if (at < 0)
        at += capacity;
    if (step == 1) {
        int32_t first = capacity - at;
        first = first > count ? count : first;
        trine_copy(to, ring + at * bytes, first * bytes);
        trine_copy(to + first * bytes, ring, (count - first) * bytes);
        return;
    }
    for (; count > 0; count--, to += bytes) {
        trine_copy(to, ring + at * bytes, bytes);
        at += step;
        if (at >= capacity)
            at -= capacity;
    }
}

/* `count` columns of a linear buffer, `step` apart. */
TRINE_MAYBE_UNUSED static void trine_pick(int8_t *to, const int8_t *from, int32_t count, int32_t step, int32_t bytes)
{
    for (; count > 0; count--, to += bytes, from += step * bytes)
        trine_copy(to, from, bytes);
}

/* Where the next columns go. */
TRINE_INLINE int32_t trine_turn(int32_t at, int32_t shift, int32_t capacity)
{
    return at + shift == capacity ? 0 : at + shift;
}

/* Of `shift` new columns, those before the signal's start become padding: `delay` columns come before its first. */
TRINE_MAYBE_UNUSED static void trine_before(int8_t *y, int32_t age, int32_t delay, int32_t shift, int32_t bytes,
                                            int32_t value)
{
    int32_t columns = delay - age * shift;
    if (columns > 0)
        trine_fill(y, value, (columns > shift ? shift : columns) * bytes);
}

/* Running sums: `shift` new columns come in, the `shift` columns from `interior` before `at` on leave. */
TRINE_MAYBE_UNUSED static void trine_slide(int32_t *sums, const int8_t *fresh, const int8_t *ring, int32_t capacity,
                                           int32_t at, int32_t interior, int32_t shift, int32_t size)
{
    at -= interior;
    if (at < 0)
        at += capacity;
    for (int32_t i = 0; i < shift; i++, fresh += size) {
        const int8_t *old = ring + at * size;
        for (int32_t c = 0; c < size; c++)
            sums[c] += fresh[c] - old[c];
        at = trine_turn(at, 1, capacity);
    }
}

/* A mean over all of time: running sums, and `count` columns at an end of the window added to them. */
TRINE_MAYBE_UNUSED static void trine_add_columns(int32_t *total, const int8_t *x, int32_t count, int32_t size)
{
    for (; count > 0; count--, x += size)
        for (int32_t c = 0; c < size; c++)
            total[c] += x[c];
}

/* FNV-1a over a saved state (Fowler, Noll, Vo; draft-eastlake-fnv). */
TRINE_MAYBE_UNUSED static uint32_t trine_checksum(const uint8_t *bytes, int32_t n)
{
    uint32_t sum = 2166136261u;
    for (int32_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * 16777619u;
    return sum;
}
