/* `count` runs of `length` values each; the channel of the value at place p is (p / inner) % channels. */
typedef struct {
    const trine_channel *channel;
    int64_t epsilon;
    int32_t count, length, inner, channels, centred;
    int32_t zero_point, narrowing, fraction, low, high;
} trine_norm;

/* 2^46 / sqrt(m) for m in [2^30, 2^32): a straight line, then four steps of Newton's rule. */
static uint32_t trine_reciprocal_root(uint32_t m)
{
    uint64_t y = UINT64_C(2319282339) - (((uint64_t)m * 322122547u) >> 30);
    for (int i = 0; i < 4; i++) {
        uint64_t product = (m * ((y * y) >> 31)) >> 30;
        y = (y * ((UINT64_C(3) << 31) - product)) >> 32;
    }
    return (uint32_t)y;
}

/* The reciprocal square root of a run's variance, and the shift of a centred value's product with it. */
TRINE_INLINE int64_t trine_root_of_run(int32_t sum, int64_t squares, const trine_norm *p, int32_t *shift)
{
    uint64_t w = (uint64_t)(((p->length * squares - (int64_t)sum * sum) >> p->narrowing) + p->epsilon);
    int32_t e = 0;
    w = w == 0 ? 1 : w;
    for (; w >> 32 != 0; e += 2)
        w >>= 2;
    for (; w < (UINT64_C(1) << 30); e -= 2)
        w <<= 2;
    *shift = 46 + e / 2 + p->narrowing / 2 - p->fraction;
    *shift = *shift > 62 ? 62 : *shift;
    return trine_reciprocal_root((uint32_t)w);
}

TRINE_MAYBE_UNUSED static void trine_normalise(const int8_t *x, int8_t *y, const trine_norm *p)
{
    int32_t channel = 0, left = p->inner;
    for (int32_t run = 0; run < p->count; run++, x += p->length, y += p->length) {
        int32_t sum = 0;
        int64_t squares = 0;
        for (int32_t i = 0; i < p->length; i++) {
            int32_t c = x[i] - p->zero_point;
            sum += c;
            squares += c * c;
        }
        if (!p->centred)
            sum = 0;
        int32_t shift;
        int64_t root = trine_root_of_run(sum, squares, p, &shift);
        for (int32_t i = 0; i < p->length; i++) {
            int32_t d = p->length * (x[i] - p->zero_point) - sum;
            y[i] = trine_requantize((int32_t)((d * root) >> shift), p->channel + channel, p->low, p->high);
            if (--left == 0) {
                left = p->inner;
                channel = channel + 1 == p->channels ? 0 : channel + 1;
            }
        }
    }
}
