TRINE_MAYBE_UNUSED static void trine_table(const int8_t *x, int8_t *y, const int8_t *table, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}

/* Both operands times their multipliers, in 32 bits; one shift rounds. `start` is half of the last place and all
   three zero points. Unsigned, because sums in between may wrap; the last one does not. */
typedef struct {
    uint32_t start;
    int32_t multiplier_a, multiplier_b, shift, low, high;
} trine_sum;

TRINE_INLINE int8_t trine_add(int32_t a, int32_t b, const trine_sum *p)
{
    uint32_t sum = p->start + (uint32_t)(a * p->multiplier_a) + (uint32_t)(b * p->multiplier_b);
    return (int8_t)trine_clamp((int32_t)sum >> p->shift, p->low, p->high);
}

/* The same in 64 bits. */
typedef struct {
    int64_t start;
    int32_t multiplier_a, multiplier_b, shift, low, high;
} trine_wide_sum;

TRINE_INLINE int8_t trine_add_wide(int32_t a, int32_t b, const trine_wide_sum *p)
{
    int64_t sum = p->start + (int64_t)a * p->multiplier_a + (int64_t)b * p->multiplier_b;
    return (int8_t)trine_clamp((int32_t)(sum >> p->shift), p->low, p->high);
}
