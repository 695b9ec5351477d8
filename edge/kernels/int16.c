/* Sums of int16 activations become int16: one high-word multiply, one shift that rounds. The rule is the definition. */
TRINE_INLINE int16_t trine_requantize16(int32_t sum, const trine_channel *c, int32_t low, int32_t high)
{
    return (int16_t)trine_clamp((trine_high(sum, c->multiplier) + c->addend) >> c->shift, low, high);
}

/* Both operands times their multipliers in 64 bits; one shift rounds. `start` is half of the last place. */
typedef struct {
    int64_t start;
    int32_t multiplier_a, multiplier_b, shift, low, high;
} trine_sum16;

TRINE_INLINE int32_t trine_add16(int32_t a, int32_t b, const trine_sum16 *p)
{
    int64_t sum = p->start + (int64_t)a * p->multiplier_a + (int64_t)b * p->multiplier_b;
    return trine_clamp((int32_t)(sum >> p->shift), p->low, p->high);
}

/* The same of one operand, whose scale may be any number of times coarser. */
TRINE_INLINE int32_t trine_rescale16(int32_t x, const trine_sum16 *p)
{
    int64_t q = (p->start + (int64_t)x * p->multiplier_a) >> p->shift;
    return (int32_t)(q < p->low ? p->low : q > p->high ? p->high : q);
}

/* A function by the 2^k + 1 values of a table, `rest` = 16 - k, with straight lines in between. */
TRINE_MAYBE_UNUSED static void trine_table16(const int16_t *x, int16_t *y, const int16_t *table, int32_t rest, int32_t n)
{
    int32_t mask = ((int32_t)1 << rest) - 1, half = ((int32_t)1 << rest) >> 1;
    for (int32_t i = 0; i < n; i++) {
        int32_t place = x[i] + 32768;
        const int16_t *at = table + (place >> rest);
        y[i] = (int16_t)(at[0] + (((at[1] - at[0]) * (place & mask) + half) >> rest));
    }
}
