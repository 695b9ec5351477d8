/* The three routines a compiler may call on its own even in freestanding code (GCC manual, "Standards").
   zig brings them in compiler-rt; GCC without a C library does not. Kept in the image only when called. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

/* volatile keeps the compiler from turning the loop back into a call of the routine it stands in. */
void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  volatile uint8_t *d = to;
  const uint8_t *s = from;
  while (n--) *d++ = *s++;
  return to;
}

void *memmove(void *to, const void *from, size_t n) {
  volatile uint8_t *d = to;
  const uint8_t *s = from;
  if ((uintptr_t)to <= (uintptr_t)from) {
    while (n--) *d++ = *s++;
  } else {
    while (n--) d[n] = s[n];
  }
  return to;
}

void *memset(void *to, int value, size_t n) {
  volatile uint8_t *d = to;
  while (n--) *d++ = (uint8_t)value;
  return to;
}
