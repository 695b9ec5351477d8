/* The plan of this file (TRINE_PAIRED, TRINE_WIDE) says which vector path its constants and its arena are laid out for. */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1) && !TRINE_PAIRED
#include <arm_mve.h>
#define TRINE_MVE 1
#elif defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && TRINE_WIDE
#include <arm_acle.h>
#define TRINE_DSP 1
#endif
#if defined(__GNUC__)
#define TRINE_NOINLINE __attribute__((noinline))
#define TRINE_INLINE static inline __attribute__((always_inline, unused))
#define TRINE_MAYBE_UNUSED __attribute__((unused))
#else
#define TRINE_NOINLINE
#define TRINE_INLINE static inline
#define TRINE_MAYBE_UNUSED
#endif
#if defined(__GNUC__) && !defined(__clang__)
/* Freestanding: loops must not become calls of memcpy or memset. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
/* GCC at -O2 keeps even a loop of four as a loop: 6.7 instructions a product on Cortex-M3 instead of 2.6. */
#define TRINE_UNROLL_4 _Pragma("GCC unroll 4")
#else
#define TRINE_UNROLL_4
#endif

#if defined(__GNUC__)
typedef uint32_t __attribute__((may_alias)) trine_word;
#define TRINE_ALIGNED __attribute__((aligned(4)))
#else
typedef uint32_t trine_word;
#define TRINE_ALIGNED
#endif

/* What one output channel needs besides its weights. */
typedef struct {
    int32_t bias;       /* the zero point of the input is folded in */
    int32_t multiplier; /* of the high-word multiply */
    int32_t addend;     /* half of the last place, and the output's zero point */
    int32_t shift;      /* arithmetic shift to the right */
} trine_channel;

/* High 32 bits of a signed 32 x 32 bit product. */
TRINE_INLINE int32_t trine_high(int32_t a, int32_t b)
{
#if defined(__ARM_ARCH_6M__)
    /* No long multiply on this core: four 16 x 16 bit products. */
    uint32_t al = (uint32_t)a & 0xffffu, bl = (uint32_t)b & 0xffffu;
    int32_t ah = a >> 16, bh = b >> 16;
    int32_t middle = ah * (int32_t)bl + (int32_t)((al * bl) >> 16);
    int32_t low = (int32_t)al * bh + (int32_t)((uint32_t)middle & 0xffffu);
    return ah * bh + (middle >> 16) + (low >> 16);
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

TRINE_INLINE int32_t trine_clamp(int32_t q, int32_t low, int32_t high)
{
    q = q < low ? low : q;
    return q > high ? high : q;
}

#if TRINE_FLOAT_CHANNELS
#define TRINE_BY_FLOAT 32 /* a shift no integer rule has: `multiplier` holds the bits of a float */

/* Nearest whole number, half to even; beyond +-1000 it saturates anyway. Adding 1.5 * 2^23 rounds. */
TRINE_INLINE int32_t trine_nearest(float x)
{
    x = x < -1000.0f ? -1000.0f : x > 1000.0f ? 1000.0f : x;
    return (int32_t)((x + 12582912.0f) - 12582912.0f);
}

TRINE_INLINE float trine_ratio_of(int32_t bits)
{
    union { int32_t bits; float value; } both;
    both.bits = bits;
    return both.value;
}
#endif

/* One shift rounds; the compiler of this file proved it equal to the float rule on every sum that can occur. */
TRINE_INLINE int8_t trine_requantize(int32_t sum, const trine_channel *c, int32_t low, int32_t high)
{
#if TRINE_FLOAT_CHANNELS
    if (c->shift == TRINE_BY_FLOAT)
        return (int8_t)trine_clamp(trine_nearest((float)sum * trine_ratio_of(c->multiplier)) + c->addend, low, high);
#endif
    return (int8_t)trine_clamp((trine_high(sum, c->multiplier) + c->addend) >> c->shift, low, high);
}

/* Four bytes at any address: one instruction where the core allows it. */
#if defined(__ARM_FEATURE_UNALIGNED) || defined(__aarch64__) || defined(__x86_64__)
#define TRINE_UNALIGNED 1
#endif

TRINE_INLINE uint32_t trine_load4(const int8_t *p)
{
#if defined(TRINE_UNALIGNED)
    uint32_t word;
    __builtin_memcpy(&word, p, 4);
    return word;
#else
    return (uint32_t)(uint8_t)p[0] | (uint32_t)(uint8_t)p[1] << 8 | (uint32_t)(uint8_t)p[2] << 16
        | (uint32_t)(uint8_t)p[3] << 24;
#endif
}

TRINE_INLINE void trine_store4(int8_t *p, uint32_t word)
{
#if defined(TRINE_UNALIGNED)
    __builtin_memcpy(p, &word, 4);
#else
    p[0] = (int8_t)word;
    p[1] = (int8_t)(word >> 8);
    p[2] = (int8_t)(word >> 16);
    p[3] = (int8_t)(word >> 24);
#endif
}
