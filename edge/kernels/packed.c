/* Weights of 4 or 2 bits. A word holds 8 or 16 taps of one row: byte i of it the taps i, i + 4, ... from its low bits up.
   4 bits: two's complement. 2 bits: q in two's complement stands for the weight 2q + 1, one of -3, -1, 1, 3. The words of
   rows follow each other as the rows of 8 bits do, so that what is unpacked is what those kernels read. */
#define TRINE_BLOCK (TRINE_PAIRED ? 4 : 8) /* rows unpacked at a time where several windows meet them */

/* Field `at` of each byte as a signed byte. */
TRINE_INLINE uint32_t trine_field(uint32_t word, int at, int bits)
{
    if (bits == 4) {
        word = word >> 4 * at & 0x0f0f0f0fu;
        return word | (word & 0x08080808u) * 0x1eu;
    }
    word = (word >> 2 * at & 0x03030303u) << 1 | 0x01010101u;
    return word | (word & 0x04040404u) * 0x3eu;
}

/* Packed words to four or two times as many, in the order in which rows lie. */
TRINE_INLINE void trine_unpack(const int8_t *packed, int8_t *rows, int32_t words, int bits)
{
    const trine_word *from = (const trine_word *)packed;
    trine_word *to = (trine_word *)rows;
#if TRINE_PAIRED
    for (; words > 0; words -= 2, from += 2)
        for (int i = 0; i < 8 / bits; i++, to += 2) {
            to[0] = trine_field(from[0], i, bits);
            to[1] = trine_field(from[1], i, bits);
        }
#else
    for (; words > 0; words--, from++)
        for (int i = 0; i < 8 / bits; i++)
            *to++ = trine_field(*from, i, bits);
#endif
}

TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_unpack_4(const int8_t *packed, int8_t *rows, int32_t words)
{
    trine_unpack(packed, rows, words, 4);
}

TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_unpack_2(const int8_t *packed, int8_t *rows, int32_t words)
{
    trine_unpack(packed, rows, words, 2);
}

TRINE_INLINE int32_t trine_words(int32_t rows, const trine_linear *p, int bits)
{
    return (rows + (rows & 1)) * p->row * bits / 32;
}

/* Unpacks the next `block` rows of `p` into `rows`, moves `p` past them, and returns a layer of those rows alone. */
TRINE_MAYBE_UNUSED static trine_linear trine_next_rows(trine_linear *p, int8_t *rows, int32_t block, int bits)
{
    trine_linear part = *p;
    part.outputs = p->outputs < block ? p->outputs : block;
    part.weight = rows;
    int32_t words = trine_words(part.outputs, p, bits);
    if (bits == 4)
        trine_unpack_4(p->weight, rows, words);
    else
        trine_unpack_2(p->weight, rows, words);
    p->weight += 4 * words;
    p->channel += part.outputs;
    p->outputs -= part.outputs;
    return part;
}

#if defined(TRINE_DSP)
/* Field `at` of each byte at the top of it: 16 times a weight of 4 bits, 32 times one of 2. */
TRINE_INLINE uint32_t trine_raised(uint32_t word, int at, int bits)
{
    if (bits == 4)
        return word << (4 - 4 * at) & 0xf0f0f0f0u;
    return (word << (6 - 2 * at) & 0xc0c0c0c0u) | 0x20202020u;
}

TRINE_INLINE int32_t trine_lowered(int32_t sum, int bits)
{
    return sum >> (bits == 4 ? 4 : 5);
}

#if defined(__OPTIMIZE__)
/* Four taps of two windows with two rows whose weights lie in b0 and b1, as trine_dot_expanded. */
#define TRINE_FOUR_TAPS \
    "ldrd %[even], %[odd], [%[x]], #8\n" \
    "sxtb16 %[b0e], %[b0]\n" \
    "sxtb16 %[b1e], %[b1]\n" \
    "sxtb16 %[b0], %[b0], ror #8\n" \
    "sxtb16 %[b1], %[b1], ror #8\n" \
    "smlad %[s00], %[even], %[b0e], %[s00]\n" \
    "smlad %[s01], %[even], %[b1e], %[s01]\n" \
    "smlad %[s00], %[odd], %[b0], %[s00]\n" \
    "smlad %[s01], %[odd], %[b1], %[s01]\n" \
    "ldrd %[even], %[odd], [%[x]], #8\n" \
    "smlad %[s10], %[even], %[b0e], %[s10]\n" \
    "smlad %[s11], %[even], %[b1e], %[s11]\n" \
    "smlad %[s10], %[odd], %[b0], %[s10]\n" \
    "smlad %[s11], %[odd], %[b1], %[s11]\n"
#define TRINE_TOP_4 "and %[b0], %[b0], #0xf0f0f0f0\nand %[b1], %[b1], #0xf0f0f0f0\n"
#define TRINE_TOP_2 \
    "and %[b0], %[b0], #0xc0c0c0c0\nand %[b1], %[b1], #0xc0c0c0c0\n" \
    "orr %[b0], %[b0], #0x20202020\norr %[b1], %[b1], #0x20202020\n"
#define TRINE_RAISE(by) "ldrd %[b0], %[b1], [%[w]]\nlsl %[b0], %[b0], #" by "\nlsl %[b1], %[b1], #" by "\n"
#define TRINE_LAST "ldrd %[b0], %[b1], [%[w]], #8\n"
/* Loading the words again for each field takes fewer registers than keeping them. */
#define TRINE_PACKED_LOOP(body) \
    __asm__("1:\n" body "cmp %[x], %[end]\nbne 1b\n" \
            : [s00] "+r"(s00), [s01] "+r"(s01), [s10] "+r"(s10), [s11] "+r"(s11), [x] "+r"(x), [w] "+r"(w), \
              [b0] "=&r"(b0), [b1] "=&r"(b1), [b0e] "=&r"(b0e), [b1e] "=&r"(b1e), [even] "=&r"(even), [odd] "=&r"(odd) \
            : [end] "r"(end) \
            : "cc", "memory")
#endif

/* trine_dot_expanded for packed rows: sums are raised, and start at zero. */
TRINE_INLINE const trine_word *trine_dot_packed(const trine_word *x, const trine_word *w, int32_t row, int32_t sum[4],
                                                int bits)
{
    int32_t s00 = 0, s01 = 0, s10 = 0, s11 = 0;
    const trine_word *end = x + row;
#if defined(__OPTIMIZE__)
    uint32_t b0, b1, b0e, b1e, even, odd;
    if (bits == 4)
        TRINE_PACKED_LOOP(TRINE_RAISE("4") TRINE_TOP_4 TRINE_FOUR_TAPS TRINE_LAST TRINE_TOP_4 TRINE_FOUR_TAPS);
    else
        TRINE_PACKED_LOOP(TRINE_RAISE("6") TRINE_TOP_2 TRINE_FOUR_TAPS TRINE_RAISE("4") TRINE_TOP_2 TRINE_FOUR_TAPS
                          TRINE_RAISE("2") TRINE_TOP_2 TRINE_FOUR_TAPS TRINE_LAST TRINE_TOP_2 TRINE_FOUR_TAPS);
#else
    for (; x != end; w += 2)
        for (int i = 0; i < 8 / bits; i++, x += 4) {
            uint32_t b0 = trine_raised(w[0], i, bits), b1 = trine_raised(w[1], i, bits);
            s00 = trine_mac2(x[1], trine_odd(b0), trine_mac2(x[0], trine_even(b0), s00));
            s01 = trine_mac2(x[1], trine_odd(b1), trine_mac2(x[0], trine_even(b1), s01));
            s10 = trine_mac2(x[3], trine_odd(b0), trine_mac2(x[2], trine_even(b0), s10));
            s11 = trine_mac2(x[3], trine_odd(b1), trine_mac2(x[2], trine_even(b1), s11));
        }
#endif
    sum[0] = s00, sum[1] = s01, sum[2] = s10, sum[3] = s11;
    return w;
}

/* trine_two_windows for packed rows. */
TRINE_INLINE void trine_two_windows_packed(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1, int8_t *expanded,
                                           const trine_linear *p, int bits)
{
    const trine_word *w = (const trine_word *)p->weight;
    const trine_channel *c = p->channel;
    trine_expand(x0, x1, (trine_word *)expanded, p->row);
    for (int32_t left = p->outputs; left > 0; left -= 2, c += 2, y0 += 2, y1 += 2) {
        int32_t sum[4];
        w = trine_dot_packed((const trine_word *)expanded, w, p->row, sum, bits);
        y0[0] = trine_finish(trine_lowered(sum[0], bits) + c[0].bias, c, p);
        y1[0] = trine_finish(trine_lowered(sum[2], bits) + c[0].bias, c, p);
        if (left > 1) {
            y0[1] = trine_finish(trine_lowered(sum[1], bits) + c[1].bias, c + 1, p);
            y1[1] = trine_finish(trine_lowered(sum[3], bits) + c[1].bias, c + 1, p);
        }
    }
}

TRINE_MAYBE_UNUSED static void trine_two_windows_4(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                                                   int8_t *expanded, const trine_linear *p)
{
    trine_two_windows_packed(x0, x1, y0, y1, expanded, p, 4);
}

TRINE_MAYBE_UNUSED static void trine_two_windows_2(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                                                   int8_t *expanded, const trine_linear *p)
{
    trine_two_windows_packed(x0, x1, y0, y1, expanded, p, 2);
}

/* trine_one_window for packed rows. */
TRINE_INLINE void trine_one_window_packed(const int8_t *x, int8_t *y, const trine_linear *p, int bits)
{
    const trine_word *w = (const trine_word *)p->weight;
    const trine_channel *c = p->channel;
    for (int32_t left = p->outputs; left > 0; left -= 2, c += 2, y += 2) {
        int32_t s0 = 0, s1 = 0;
        const int8_t *at = x, *end = x + p->row;
        for (; at != end; w += 2)
            for (int i = 0; i < 8 / bits; i++, at += 4) {
                uint32_t a = trine_load4(at), b0 = trine_raised(w[0], i, bits), b1 = trine_raised(w[1], i, bits);
                uint32_t even = trine_even(a), odd = trine_odd(a);
                s0 = trine_mac2(odd, trine_odd(b0), trine_mac2(even, trine_even(b0), s0));
                s1 = trine_mac2(odd, trine_odd(b1), trine_mac2(even, trine_even(b1), s1));
            }
        y[0] = trine_finish(trine_lowered(s0, bits) + c[0].bias, c, p);
        if (left > 1)
            y[1] = trine_finish(trine_lowered(s1, bits) + c[1].bias, c + 1, p);
    }
}
#endif

/* A row of the input where a kernel may read `row` bytes of it: in place, or a copy with zeros behind. */
TRINE_INLINE const int8_t *trine_whole_row(const int8_t *x, int8_t *scratch, const trine_linear *p)
{
    if (p->length == p->row)
        return x;
    trine_copy(scratch, x, p->length);
    trine_fill(scratch + p->length, 0, p->row - p->length);
    return scratch;
}

/* A dense layer over `rows` rows of the input. `scratch`: two rows where they are copied, then room for the kernels. */
TRINE_INLINE void trine_dense_packed(const int8_t *x, int8_t *y, int8_t *scratch, int32_t rows, trine_linear p, int bits)
{
    int32_t outputs = p.outputs;
    int8_t *room = scratch + (p.length == p.row ? 0 : 2 * p.row);
#if defined(TRINE_DSP)
    if (rows == 1) {
        trine_one_window_packed(trine_whole_row(x, scratch, &p), y, &p, bits);
        return;
    }
    for (int32_t i = 0; i < rows; i += 2) {
        int32_t next = i + 1 < rows ? i + 1 : i;
        const int8_t *x0 = trine_whole_row(x + i * p.length, scratch, &p);
        const int8_t *x1 = trine_whole_row(x + next * p.length, scratch + p.row, &p);
        trine_two_windows_packed(x0, x1, y + i * outputs, y + next * outputs, room, &p, bits);
    }
#else
    while (p.outputs > 0) {
        trine_linear part = trine_next_rows(&p, room, rows == 1 ? 2 : TRINE_BLOCK, bits);
        for (int32_t i = 0; i < rows; i += 2) {
            int32_t next = i + 1 < rows ? i + 1 : i;
            const int8_t *x0 = trine_whole_row(x + i * p.length, scratch, &p);
            if (next == i) {
                trine_one_window(x0, y + i * outputs, &part);
                continue;
            }
            const int8_t *x1 = trine_whole_row(x + next * p.length, scratch + p.row, &p);
            trine_two_windows(x0, x1, y + i * outputs, y + next * outputs, scratch, &part);
        }
        y += part.outputs;
    }
#endif
}

TRINE_MAYBE_UNUSED static void trine_dense_4(const int8_t *x, int8_t *y, int8_t *scratch, int32_t rows, trine_linear p)
{
    trine_dense_packed(x, y, scratch, rows, p, 4);
}

TRINE_MAYBE_UNUSED static void trine_dense_2(const int8_t *x, int8_t *y, int8_t *scratch, int32_t rows, trine_linear p)
{
    trine_dense_packed(x, y, scratch, rows, p, 2);
}
