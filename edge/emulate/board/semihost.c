/* Arm semihosting (Arm document "Semihosting for AArch32 and AArch64", section 4): files of the host. */
#include "harness_board.h"

static int32_t semihost(int32_t operation, const void *block) {
  register int32_t r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = block;
  __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

int32_t semihost_open(const char *name, int32_t mode) {
  size_t length = 0;
  while (name[length]) length++;
  uintptr_t block[3] = {(uintptr_t)name, (uintptr_t)mode, length};
  return semihost(0x01, block);
}

/* Both return the number of bytes NOT transferred. */
int32_t semihost_read(int32_t file, void *to, size_t bytes) {
  uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)to, bytes};
  return semihost(0x06, block);
}

int32_t semihost_write(int32_t file, const void *from, size_t bytes) {
  uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)from, bytes};
  return semihost(0x05, block);
}

_Noreturn void board_exit(int32_t status) {
  uintptr_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uintptr_t)status};
  semihost(0x20 /* SYS_EXIT_EXTENDED */, block);
  for (;;) {
  }
}
