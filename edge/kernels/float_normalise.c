/* `count` runs of `length` values each; the channel of the value at place p is (p / inner) % channels. */
typedef struct {
    float epsilon;
    int32_t count, length, inner, channels, centred;
} trine_float_norm;

/* means, inverses: one of each run, where they are wanted. beta may be absent. */
static void trine_normalise_float(const float *x, float *y, float *means, float *inverses, const float *gamma,
                                  const float *beta, const trine_float_norm *p)
{
    int32_t channel = 0, left = p->inner;
    for (int32_t run = 0; run < p->count; run++, x += p->length, y += p->length) {
        float mean = 0.0f, squares = 0.0f, inverse;
        for (int32_t i = 0; p->centred && i < p->length; i++)
            mean += x[i];
        mean /= (float)p->length;
        for (int32_t i = 0; i < p->length; i++)
            squares += (x[i] - mean) * (x[i] - mean);
        inverse = 1.0f / trine_sqrtf(squares / (float)p->length + p->epsilon);
        for (int32_t i = 0; i < p->length; i++) {
            float scaled = (x[i] - mean) * inverse * gamma[channel];
            y[i] = beta ? scaled + beta[channel] : scaled;
            if (--left == 0) {
                left = p->inner;
                channel = channel + 1 == p->channels ? 0 : channel + 1;
            }
        }
        if (means)
            means[run] = mean;
        if (inverses)
            inverses[run] = inverse;
    }
}
