/* Floor of a quotient whose divisor is positive. */
TRINE_INLINE int64_t trine_floor_divide(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q * b > a ? q - 1 : q;
}
