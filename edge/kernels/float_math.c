/* Elementary functions in float, without a library. Polynomials: Chebyshev interpolation on the interval named beside
   each; tests/edge/test_float_math.py holds each to its greatest error, in units of the last place. */
typedef union {
    float value;
    uint32_t bits;
} trine_float;

typedef union {
    double value;
    uint64_t bits;
} trine_double;

TRINE_INLINE float trine_float_of(uint32_t bits)
{
    trine_float u;
    u.bits = bits;
    return u.value;
}

TRINE_INLINE uint32_t trine_bits_of(float x)
{
    trine_float u;
    u.value = x;
    return u.bits;
}

#define TRINE_INFINITY trine_float_of(0x7f800000u)
#define TRINE_NAN trine_float_of(0x7fc00000u)

TRINE_INLINE int32_t trine_isnan(double x)
{
    return x != x;
}

TRINE_INLINE double trine_power_of_two(int32_t n)
{
    trine_double u;
    u.bits = (uint64_t)(uint32_t)(n + 1023) << 52;
    return u.value;
}

/* x * 2^n for n in -252..254, through two factors so that subnormal results come out too. */
TRINE_INLINE float trine_scale(float x, int32_t n)
{
    int32_t half = n / 2;
    return x * trine_float_of((uint32_t)(half + 127) << 23) * trine_float_of((uint32_t)(n - half + 127) << 23);
}

TRINE_INLINE float trine_absf(float x)
{
    return trine_float_of(trine_bits_of(x) & 0x7fffffffu);
}

TRINE_INLINE float trine_copysignf(float x, float sign)
{
    return trine_float_of((trine_bits_of(x) & 0x7fffffffu) | (trine_bits_of(sign) & 0x80000000u));
}

TRINE_INLINE float trine_clipf(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* From 2^23 on every float is whole. */
TRINE_MAYBE_UNUSED static float trine_truncf(float x)
{
    return trine_absf(x) < 8388608.0f ? trine_copysignf((float)(int32_t)x, x) : x;
}

TRINE_MAYBE_UNUSED static float trine_floorf(float x)
{
    float whole = trine_truncf(x);
    return whole > x ? whole - 1.0f : whole;
}

TRINE_MAYBE_UNUSED static float trine_ceilf(float x)
{
    float whole = trine_truncf(x);
    return whole < x ? trine_copysignf(whole + 1.0f, x) : whole;
}

/* Half to even. */
TRINE_MAYBE_UNUSED static float trine_roundf(float x)
{
    float down = trine_floorf(x), rest = x - down;
    int32_t odd = trine_absf(down) < 8388608.0f && ((int32_t)down & 1);
    if (rest > 0.5f || (rest == 0.5f && odd))
        down += 1.0f;
    return trine_copysignf(down, x);
}

/* e^r - 1 for |r| <= ln 2 / 2. */
TRINE_INLINE float trine_expm1_near(float r)
{
    float p = 1.989939246e-04f;
    p = p * r + 1.393373322e-03f;
    p = p * r + 8.333298341e-03f;
    p = p * r + 4.166646417e-02f;
    p = p * r + 1.666666672e-01f;
    p = p * r + 5.000000014e-01f;
    return r + r * r * p;
}

/* n and r with x = n ln 2 + r; ln 2 in two parts, the first exact in a product with n. */
TRINE_INLINE int32_t trine_by_ln2(float x, float *r)
{
    float n = x * 1.44269504f;
    int32_t k = (int32_t)(n < 0.0f ? n - 0.5f : n + 0.5f);
    *r = (x - (float)k * 0.693359375f) + (float)k * 2.12194440e-4f;
    return k;
}

TRINE_MAYBE_UNUSED static float trine_expf(float x)
{
    float r;
    int32_t n;
    if (!(x < 88.8f))
        return trine_isnan(x) ? x : TRINE_INFINITY;
    if (x < -104.0f)
        return 0.0f;
    n = trine_by_ln2(x, &r);
    return trine_scale(1.0f + trine_expm1_near(r), n);
}

TRINE_MAYBE_UNUSED static float trine_expm1f(float x)
{
    float r, scale;
    int32_t n;
    if (!(x < 88.0f))
        return trine_isnan(x) ? x : trine_expf(x);
    if (x < -18.0f)
        return -1.0f;
    n = trine_by_ln2(x, &r);
    if (n == 0)
        return trine_expm1_near(r);
    scale = trine_scale(1.0f, n);
    return scale * trine_expm1_near(r) + (scale - 1.0f);
}

/* m and n with x = m 2^n, m in [sqrt(1/2), sqrt(2)); x is positive and finite. */
TRINE_INLINE float trine_split(float x, int32_t *n)
{
    uint32_t bits = trine_bits_of(x);
    *n = -127;
    if (bits < 0x00800000u) {
        bits = trine_bits_of(x * 8388608.0f);
        *n = -150;
    }
    *n += (int32_t)(bits >> 23);
    bits = (bits & 0x007fffffu) | 0x3f800000u;
    if (bits >= 0x3fb504f3u) {
        bits -= 0x00800000u;
        *n += 1;
    }
    return trine_float_of(bits);
}

TRINE_MAYBE_UNUSED static float trine_logf(float x)
{
    int32_t n;
    float f, z, p;
    if (!(x > 0.0f))
        return x == 0.0f ? -TRINE_INFINITY : TRINE_NAN;
    if (x > 3.40282347e38f)
        return x;
    f = trine_split(x, &n) - 1.0f;
    z = f * f;
    p = 7.149753890e-02f;
    p = p * f - 1.157120073e-01f;
    p = p * f + 1.166151107e-01f;
    p = p * f - 1.241105068e-01f;
    p = p * f + 1.424993653e-01f;
    p = p * f - 1.666848024e-01f;
    p = p * f + 2.000070748e-01f;
    p = p * f - 2.499998905e-01f;
    p = p * f + 3.333333119e-01f;
    p = p * f * z - (float)n * 2.12194440e-4f - 0.5f * z;
    return (f + p) + (float)n * 0.693359375f;
}

/* log(1 + x); the quotient repairs what 1 + x lost (Goldberg 1991, theorem 4). */
TRINE_MAYBE_UNUSED static float trine_log1pf(float x)
{
    float w = 1.0f + x;
    if (w == 1.0f || x > 3.40282347e38f)
        return x;
    return trine_logf(w) * (x / (w - 1.0f));
}

/* Newton for 1 / sqrt, then one Heron step. */
TRINE_MAYBE_UNUSED static float trine_sqrtf(float x)
{
    float half, y, s;
    if (!(x > 0.0f) || x > 3.40282347e38f)
        return x < 0.0f ? TRINE_NAN : x;
    if (x < 1.17549435e-38f)
        return trine_sqrtf(x * 16777216.0f) * 2.44140625e-4f;
    half = 0.5f * x;
    y = trine_float_of(0x5f375a86u - (trine_bits_of(x) >> 1));
    y = y * (1.5f - half * y * y);
    y = y * (1.5f - half * y * y);
    y = y * (1.5f - half * y * y);
    s = x * y;
    return 0.5f * (s + x / s);
}

TRINE_MAYBE_UNUSED static float trine_sigmoidf(float x)
{
    float e = trine_expf(-trine_absf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

TRINE_MAYBE_UNUSED static float trine_tanhf(float x)
{
    float a = trine_absf(x), z = x * x, p;
    if (!(a > 0.625f)) { /* x + x^3 P(x^2) */
        p = 2.295838555e-03f;
        p = p * z - 8.346977587e-03f;
        p = p * z + 2.176995978e-02f;
        p = p * z - 5.395940571e-02f;
        p = p * z + 1.333330428e-01f;
        p = p * z - 3.333333318e-01f;
        return x + x * z * p;
    }
    if (a > 10.0f)
        return trine_isnan(x) ? x : trine_copysignf(1.0f, x);
    return trine_copysignf(1.0f - 2.0f / (trine_expf(2.0f * a) + 1.0f), x);
}

TRINE_MAYBE_UNUSED static float trine_erff(float x)
{
    float a = trine_absf(x), t, p;
    if (!(a > 1.0f)) { /* x P(x^2) */
        t = x * x;
        p = -9.673590384e-06f;
        p = p * t + 1.126825375e-04f;
        p = p * t - 8.484396530e-04f;
        p = p * t + 5.221053411e-03f;
        p = p * t - 2.686543831e-02f;
        p = p * t + 1.128378262e-01f;
        p = p * t - 3.761263848e-01f;
        return x * (p * t + 1.128379167e+00f);
    }
    if (a < 2.0f) { /* P(x - 3/2) */
        t = a - 1.5f;
        p = 1.540411511e-03f;
        p = p * t - 2.401930231e-03f;
        p = p * t - 4.701163614e-03f;
        p = p * t + 1.933342954e-02f;
        p = p * t - 1.487084248e-02f;
        p = p * t - 4.459944827e-02f;
        p = p * t + 1.387522068e-01f;
        p = p * t - 1.783954165e-01f;
        p = p * t + 1.189302867e-01f;
        return trine_copysignf(p * t + 9.661051464e-01f, x);
    }
    if (!(a < 4.0f))
        return trine_isnan(x) ? x : trine_copysignf(1.0f, x);
    t = a - 3.0f; /* P(x - 3) */
    p = -9.467147830e-06f;
    p = p * t + 2.211728969e-05f;
    p = p * t + 1.189712687e-05f;
    p = p * t - 1.411226016e-04f;
    p = p * t + 3.918769026e-04f;
    p = p * t - 7.350006868e-04f;
    p = p * t + 1.016149900e-03f;
    p = p * t - 1.045075533e-03f;
    p = p * t + 7.891516480e-04f;
    p = p * t - 4.177030629e-04f;
    p = p * t + 1.392511962e-04f;
    return trine_copysignf(p * t + 9.999779087e-01f, x);
}

/* Quadrant and rest of x by pi / 2, in double: exact up to |x| = 10^6, absolute errors of 10^-7 at 10^9; NaN from
   1.6 * 10^9 on. */
TRINE_INLINE int32_t trine_quadrant(float x, float *rest)
{
    double n = (double)x * 0.63661977236758134;
    int32_t k;
    if (!(n < 1073741824.0 && n > -1073741824.0)) {
        *rest = TRINE_NAN;
        return 0;
    }
    k = (int32_t)(n < 0.0 ? n - 0.5 : n + 0.5);
    *rest = (float)(((double)x - (double)k * 1.5707963267341256) - (double)k * 6.0771005065061922e-11);
    return k & 3;
}

TRINE_INLINE float trine_sine(float r)
{
    float z = r * r, p = 2.724990202e-06f;
    p = p * z - 1.984008661e-04f;
    p = p * z + 8.333331875e-03f;
    p = p * z - 1.666666666e-01f;
    return r + r * z * p;
}

TRINE_INLINE float trine_cosine(float r)
{
    float z = r * r, p = -2.730093483e-07f;
    p = p * z + 2.480060023e-05f;
    p = p * z - 1.388888767e-03f;
    p = p * z + 4.166666666e-02f;
    return 1.0f - 0.5f * z + z * z * p;
}

TRINE_MAYBE_UNUSED static float trine_sinf(float x)
{
    float r, y;
    int32_t k = trine_quadrant(x, &r);
    y = k & 1 ? trine_cosine(r) : trine_sine(r);
    return k & 2 ? -y : y;
}

TRINE_MAYBE_UNUSED static float trine_cosf(float x)
{
    float r, y;
    int32_t k = trine_quadrant(x, &r);
    y = k & 1 ? trine_sine(r) : trine_cosine(r);
    return k == 1 || k == 2 ? -y : y;
}

/* x^y for x > 0, both finite: 2^(y log2 x) in double, by the series of atanh and of exp. */
TRINE_MAYBE_UNUSED static double trine_power(double x, double y)
{
    trine_double u;
    double t, z, p, r;
    int32_t n;
    u.value = x;
    n = (int32_t)(u.bits >> 52) - 1023;
    u.bits = (u.bits & UINT64_C(0xfffffffffffff)) | UINT64_C(0x3ff0000000000000);
    if (u.value > 1.4142135623730951) {
        u.value *= 0.5;
        n++;
    }
    t = (u.value - 1.0) / (u.value + 1.0);
    z = t * t;
    p = 1.0 / 19.0;
    for (int32_t k = 17; k > 0; k -= 2)
        p = p * z + 1.0 / k;
    r = y * ((double)n + 2.0 * t * p * 1.4426950408889634);
    if (r > 1023.0 || r < -1022.0)
        return r > 0.0 ? (double)TRINE_INFINITY : 0.0;
    n = (int32_t)(r < 0.0 ? r - 0.5 : r + 0.5);
    r = (r - (double)n) * 0.69314718055994531;
    p = 1.0;
    for (int32_t k = 14; k > 0; k--)
        p = p * r / k + 1.0;
    return p * trine_power_of_two(n);
}

/* Whole exponents up to 64 by squaring, which is exact where the result is. */
TRINE_MAYBE_UNUSED static double trine_powd(double x, double y)
{
    trine_double sign;
    double a = x < 0.0 ? -x : x, power;
    int32_t large = !(y < 9007199254740992.0 && y > -9007199254740992.0);
    int32_t whole = large || (double)(int64_t)y == y, odd = !large && whole && ((int64_t)y & 1);
    if (y == 0.0 || x == 1.0)
        return 1.0;
    if (trine_isnan(x) || trine_isnan(y))
        return (double)TRINE_NAN;
    if (a == 0.0 || a > 1.7976931348623157e308 || y - y != 0.0) {
        if (a == 1.0)
            return 1.0;
        power = (a > 1.0) == (y > 0.0) ? (double)TRINE_INFINITY : 0.0;
    } else if (whole && y >= -64.0 && y <= 64.0) {
        double square = a;
        power = 1.0;
        for (int32_t n = (int32_t)(y < 0.0 ? -y : y); n > 0; n >>= 1, square *= square)
            power = n & 1 ? power * square : power;
        power = y < 0.0 ? 1.0 / power : power;
    } else {
        power = trine_power(a, y);
    }
    if (x < 0.0 && !whole && y - y == 0.0 && a <= 1.7976931348623157e308)
        return (double)TRINE_NAN;
    sign.value = x;
    return sign.bits >> 63 && odd ? -power : power;
}

TRINE_MAYBE_UNUSED static float trine_powf(float x, float y)
{
    return (float)trine_powd((double)x, (double)y);
}

/* Remainder of x by y with the sign of x, exact: binary long division. */
TRINE_MAYBE_UNUSED static double trine_fmod(double x, double y)
{
    double a = x < 0.0 ? -x : x, b = y < 0.0 ? -y : y, part;
    if (trine_isnan(x) || trine_isnan(y) || a - a != 0.0 || b == 0.0)
        return (double)TRINE_NAN;
    if (b - b != 0.0)
        return x;
    for (part = b; part <= a * 0.5;)
        part += part;
    for (; part >= b; part *= 0.5)
        a = a >= part ? a - part : a;
    return x < 0.0 ? -a : a;
}

/* With the sign of y, as Python's %. */
TRINE_MAYBE_UNUSED static double trine_mod(double x, double y)
{
    double rest = trine_fmod(x, y);
    return rest != 0.0 && (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}

/* Whole numbers: towards zero; by 0 the answer is 0. */
TRINE_MAYBE_UNUSED static int64_t trine_divide(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    return b == -1 ? (int64_t)(0u - (uint64_t)a) : a / b;
}

TRINE_MAYBE_UNUSED static int64_t trine_fmod_whole(int64_t a, int64_t b)
{
    return b == 0 || b == -1 ? 0 : a % b;
}

TRINE_MAYBE_UNUSED static int64_t trine_mod_whole(int64_t a, int64_t b)
{
    int64_t rest = trine_fmod_whole(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
