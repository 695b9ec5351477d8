TRINE_MAYBE_UNUSED static void trine_table(const int8_t *x, int8_t *y, const int8_t *table, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}

/* Both operands less their zero points, each times its multiplier, in 64 bits; one shift rounds. */
typedef struct {
    int32_t zero_a, zero_b, multiplier_a, multiplier_b, shift, zero_y, low, high;
} trine_sum;

TRINE_INLINE int8_t trine_add(int32_t a, int32_t b, const trine_sum *p)
{
    int64_t sum = (int64_t)(a - p->zero_a) * p->multiplier_a + (int64_t)(b - p->zero_b) * p->multiplier_b;
    int32_t q = (int32_t)((sum + ((int64_t)1 << (p->shift - 1))) >> p->shift);
    return (int8_t)trine_clamp(q + p->zero_y, p->low, p->high);
}
