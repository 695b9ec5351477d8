/* start and the products of two rows, in order. */
TRINE_MAYBE_UNUSED static float trine_dot_float(const float *a, const float *b, int32_t length, float start)
{
    for (int32_t k = 0; k < length; k++)
        start += a[k] * b[k];
    return start;
}
