/* A value whose origin the compiler does not see: thresholds are loaded from a table, one instruction and four bytes
   each, rather than built out of two of eight bytes; and nothing that one tree has loaded is kept for a later one, nor
   a sum put off: what is saved in instructions would cost more in stores, and the stack. */
#if defined(__GNUC__)
#define TRINE_OPAQUE(word) __asm__("" : "+r"(word))
#else
#define TRINE_OPAQUE(word)
#endif
#if defined(__GNUC__) && defined(__ARM_FP)
#define TRINE_OPAQUE_FLOAT(number) __asm__("" : "+t"(number))
#else
#define TRINE_OPAQUE_FLOAT(number)
#endif

/* The bits of a float as an integer that orders as the float does (InTreeger, arXiv 2505.15391); flags: 1 the complement,
   2 NaN is the least value, else it is the greatest. */
TRINE_INLINE int32_t trine_key(uint32_t bits, uint32_t flags)
{
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return flags & 2u ? -0x7fffffff - 1 : 0x7fffffff;
    if ((int32_t)bits < 0)
        bits ^= 0x7fffffffu;
    return (int32_t)(flags & 1u ? ~bits : bits);
}

/* How many of `n` ascending keys are less. */
TRINE_MAYBE_UNUSED static uint32_t trine_rank(int32_t key, const int32_t *keys, uint32_t n)
{
    const int32_t *first = keys;
    while (n) {
        uint32_t half = n >> 1;
        if (keys[half] < key) {
            keys += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return (uint32_t)(keys - first);
}

/* 2^-(i/32), 31 bits behind the point. */
TRINE_MAYBE_UNUSED static const uint32_t trine_powers[32] = {
    2147483648u, 2101467502u, 2056437387u, 2012372174u, 1969251188u, 1927054196u, 1885761398u, 1845353420u,
    1805811301u, 1767116489u, 1729250827u, 1692196547u, 1655936265u, 1620452965u, 1585730000u, 1551751076u,
    1518500250u, 1485961921u, 1454120821u, 1422962010u, 1392470869u, 1362633090u, 1333434672u, 1304861917u,
    1276901417u, 1249540052u, 1222764986u, 1196563654u, 1170923762u, 1145833280u, 1121280436u, 1097253708u
};

/* exp(-distance * 2^-bits), 30 bits behind the point; shift = bits + 4. */
TRINE_MAYBE_UNUSED static uint32_t trine_decay(uint32_t distance, int32_t shift)
{
    uint64_t t = (uint64_t)distance * 1549082005u;
    if (shift < 0)
        t = distance ? 0xffffffffu : 0;
    else
        t >>= shift < 63 ? shift : 63;
    if (t > 0xffffffffu)
        t = 0xffffffffu;
    uint32_t u = (uint32_t)t;
    uint32_t x = (uint32_t)(((uint64_t)(u & 0x1fffffu) * 1488522236u) >> 26);
    uint32_t square = (uint32_t)(((uint64_t)x * x) >> 31), cube = (uint32_t)(((uint64_t)square * x) >> 31);
    uint32_t series = 0x80000000u - x + square / 2u - cube / 6u;
    uint32_t e = (uint32_t)(((uint64_t)trine_powers[(u >> 21) & 31u] * series) >> 32);
    return (u >> 26) < 32u ? e >> (u >> 26) : 0;
}

/* part / whole, 30 bits behind the point, by long division; part <= whole <= 2^31. */
TRINE_MAYBE_UNUSED static uint32_t trine_share(uint32_t part, uint32_t whole)
{
    uint32_t share = 0;
    if (whole == 0)
        return 0;
    if (part == whole)
        return 0x40000000u;
    for (int32_t i = 0; i < 30; i++) {
        part <<= 1;
        share <<= 1;
        if (part >= whole) {
            part -= whole;
            share |= 1u;
        }
    }
    return share;
}

/* 1 / (1 + exp(-sum * 2^-bits)), 30 bits behind the point. */
TRINE_MAYBE_UNUSED static uint32_t trine_sigmoid(int32_t sum, int32_t shift)
{
    uint32_t size = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    uint32_t p = trine_share(0x40000000u, 0x40000000u + trine_decay(size, shift));
    return sum < 0 ? 0x40000000u - p : p;
}

/* Whether one of `n` floats is NaN; where a sum tells, yes also where infinities cancel. */
TRINE_MAYBE_UNUSED static int32_t trine_any_nan(const float *x, uint32_t n)
{
#if defined(__ARM_FP)
    float sum = 0.0f;
    for (; n >= 8; n -= 8, x += 8)
        sum += x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7];
    for (; n; n--, x++)
        sum += x[0];
    return sum != sum;
#else
    const trine_word *bits = (const trine_word *)(const void *)x;
    uint32_t greatest = 0;
    for (; n; n--, bits++)
        greatest = bits[0] << 1 > greatest ? bits[0] << 1 : greatest;
    return greatest > 0xff000000u;
#endif
}

/* A float's bits, NaN replaced by `nan`. */
TRINE_INLINE int32_t trine_settled(uint32_t bits, int32_t nan)
{
    return bits << 1 > 0xff000000u ? nan : (int32_t)bits;
}
