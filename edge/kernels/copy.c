TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_copy(int8_t *to, const int8_t *from, int32_t n)
{
#if defined(TRINE_UNALIGNED)
    for (; n >= 4; n -= 4, to += 4, from += 4)
        trine_store4(to, trine_load4(from));
#elif defined(__GNUC__)
    if ((((uintptr_t)to | (uintptr_t)from) & 3u) == 0)
        for (; n >= 4; n -= 4, to += 4, from += 4)
            *(trine_word *)to = *(const trine_word *)from;
#endif
    for (; n > 0; n--)
        *to++ = *from++;
}

TRINE_MAYBE_UNUSED TRINE_NOINLINE static void trine_fill(int8_t *to, int32_t value, int32_t n)
{
#if defined(TRINE_UNALIGNED)
    for (uint32_t word = (uint32_t)(uint8_t)value * 0x01010101u; n >= 4; n -= 4, to += 4)
        trine_store4(to, word);
#endif
    for (; n > 0; n--)
        *to++ = (int8_t)value;
}
