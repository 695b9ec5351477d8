/* x^y: `logs` of every x times y, the magnitude is how many of 255 limits that reaches; parity 1 odd, 2 broken. */
TRINE_MAYBE_UNUSED static int8_t trine_power_int8(int32_t x, int32_t y, const int64_t *logs, const uint8_t *parity,
                                                  const int64_t *limits, int32_t zero_x, int32_t zero_y,
                                                  int32_t zero_point)
{
    int64_t exponent = logs[x + 128] * (y - zero_y);
    int32_t reached = 0, kind = parity[y + 128];
    for (int32_t width = 128; width > 0; width >>= 1)
        if (limits[reached + width - 1] <= exponent)
            reached += width;
    if (x < zero_x && kind != 0)
        reached = kind == 1 ? -reached : 0;
    return (int8_t)trine_clamp(reached + zero_point, -128, 127);
}
