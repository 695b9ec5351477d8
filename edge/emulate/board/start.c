/* Vector table, start-up and fault report of the emulated boards: Armv6-M to Armv8.1-M, no library. */
#include "harness_config.h"
#include "harness_board.h"

extern uint32_t __stack_top[], __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[];

void Reset_Handler(void);
void fault(void);
void fault_report(const uint32_t *frame);
void boot(void);

__attribute__((used, section(".vectors"))) static const void *const vectors[16] = {
    __stack_top,          (void *)&Reset_Handler, (void *)&fault, (void *)&fault,
    (void *)&fault,       (void *)&fault,         (void *)&fault, (void *)&fault,
    0, 0, 0,              (void *)&fault,         (void *)&fault, 0,
    (void *)&fault,       (void *)&fault};

/* The FPU and Helium come on here, in assembly, before any compiled loop: clang vectorises even start-up code.
   CPACR = 0xE000ED88, full access to CP10 and CP11 (Armv7-M manual, B3.2.20); reads as zero where absent. */
__attribute__((naked, used)) void Reset_Handler(void) {
  __asm volatile(
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
      "ldr r0, =0xE000ED88\n"
      "ldr r1, [r0]\n"
      "orr r1, r1, #0xF00000\n"
      "str r1, [r0]\n"
      "dsb\n"
      "isb\n"
#endif
      "bl boot\n"
      ".ltorg\n");
}

/* volatile: the compiler must not turn these loops into calls of memcpy and memset. Integers are compared, not
   pointers: the compiler may take the addresses of two objects to differ, and an empty section has them equal. */
void boot(void) {
  const uint32_t *from = __data_load;
  for (uintptr_t at = (uintptr_t)__data_start; at < (uintptr_t)__data_end; at += 4) *(volatile uint32_t *)at = *from++;
  for (uintptr_t at = (uintptr_t)__bss_start; at < (uintptr_t)__bss_end; at += 4) *(volatile uint32_t *)at = 0;
  board_main();
  board_exit(0);
}

__attribute__((naked, used)) void fault(void) {
  __asm volatile("mrs r0, msp\n"
                 "bl fault_report\n");
}

/* frame: r0-r3, r12, lr, pc, xpsr as the core stacked them; the place goes to the file "fault". */
__attribute__((used)) void fault_report(const uint32_t *frame) {
  uint32_t record[2];
  record[0] = frame[6];
  record[1] = *(volatile uint32_t *)0xE000ED28; /* CFSR: what kind of fault; absent on Armv6-M */
  int32_t file = semihost_open("fault", SEMIHOST_WRITE);
  semihost_write(file, record, sizeof record);
  board_exit(3);
}
