#ifndef TRINE_NET_H
#define TRINE_NET_H
#include <stddef.h>
#include <stdint.h>
int trine_net_run(const int8_t *signal, const int8_t *extra, int8_t *logits, int8_t *best);
#endif
