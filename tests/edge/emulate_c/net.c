/* Hand-made sample of the form that the code generator emits: int8 convolution over time, then a dense layer over
   its output and a second input. WEIGHTS_H holds the sizes and the weights. DENSE_DSP and DENSE_HELIUM choose the
   dense kernel; all three give the same bits. */
#include "net.h"

#include "weights.h"
#if defined(DENSE_DSP)
#ifndef __ARM_FEATURE_DSP
#error this C needs the DSP extension
#endif
#include <arm_acle.h>
#elif defined(DENSE_HELIUM)
#ifndef __ARM_FEATURE_MVE
#error this C needs Helium
#endif
#include <arm_mve.h>
#endif

static int8_t trine_net_arena[NET_JOINED];

static int8_t requantise(int32_t sum, int32_t multiplier, int shift) {
  int64_t value = ((int64_t)sum * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
  return (int8_t)(value > 127 ? 127 : value < -128 ? -128 : value);
}

__attribute__((noinline)) static void trine_net_layer_0_conv(const int8_t *in) {
  for (int t = 0; t < NET_STEPS; t++) {
    for (int c = 0; c < NET_CHANNELS; c++) {
      int32_t sum = trine_net_conv_bias[c];
      for (int k = 0; k < NET_TAPS; k++) sum += in[2 * t + k] * trine_net_conv_weight[c * NET_TAPS + k];
      if (sum < 0) sum = 0;
      trine_net_arena[t * NET_CHANNELS + c] = requantise(sum, trine_net_conv_multiplier[c], 38);
    }
  }
}

__attribute__((noinline)) static void trine_net_layer_1_join(const int8_t *in) {
  for (int i = 0; i < NET_EXTRA; i++) trine_net_arena[NET_STEPS * NET_CHANNELS + i] = in[i];
}

static int32_t dot(const int8_t *a, const int8_t *b) {
  int32_t sum = 0;
#if defined(DENSE_DSP)
  for (int i = 0; i < NET_JOINED; i += 4) {
    uint32_t x, w;
    __builtin_memcpy(&x, a + i, 4);
    __builtin_memcpy(&w, b + i, 4);
    sum = __smlad(__sxtb16(x), __sxtb16(w), sum);
    sum = __smlad(__sxtb16(x >> 8), __sxtb16(w >> 8), sum);
  }
#elif defined(DENSE_HELIUM)
  for (int i = 0; i < NET_JOINED; i += 16) {
    mve_pred16_t p = vctp8q((uint32_t)(NET_JOINED - i));
    sum = vmladavaq_p_s8(sum, vldrbq_z_s8(a + i, p), vldrbq_z_s8(b + i, p), p);
  }
#else
  for (int i = 0; i < NET_JOINED; i++) sum += a[i] * b[i];
#endif
  return sum;
}

__attribute__((noinline)) static void trine_net_layer_2_dense(int8_t *out) {
  for (int r = 0; r < NET_CLASSES; r++) {
    int32_t sum = trine_net_dense_bias[r] + dot(trine_net_arena, trine_net_dense_weight + r * NET_JOINED);
    out[r] = requantise(sum, trine_net_dense_multiplier, 41);
  }
}

__attribute__((noinline)) static void trine_net_layer_3_best(const int8_t *logits, int8_t *out) {
  int best = 0;
  for (int r = 1; r < NET_CLASSES; r++) {
    if (logits[r] > logits[best]) best = r;
  }
  out[0] = (int8_t)best;
}

int trine_net_run(const int8_t *signal, const int8_t *extra, int8_t *logits, int8_t *best) {
  trine_net_layer_0_conv(signal);
  trine_net_layer_1_join(extra);
  trine_net_layer_2_dense(logits);
  trine_net_layer_3_best(logits, best);
  return 0;
}
