/* The board's side of an emulated run: semihosting, the measurements, and the start-up code with its fault report,
   for Armv6-M to Armv8.1-M, without any library. harness_config.h, written per program, names the timer, the
   program's buffers, and two calls of one shape: of the program and of an empty function. */
#include "harness_config.h"

void Reset_Handler(void);
void fault(void);
void fault_report(const uint32_t *frame);
void boot(void);

/* Exit statuses; qemu.py knows the first two. */
enum { EXIT_FAULT = 3, EXIT_REFUSED = 4, EXIT_FILES = 5 };

enum { SEMIHOST_READ = 1 /* "rb" */, SEMIHOST_WRITE = 5 /* "wb" */ };

/* Arm semihosting (Arm document "Semihosting for AArch32 and AArch64", section 4): files of the host. */
static int32_t semihost(int32_t operation, const void *block) {
  register int32_t r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = block;
  __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static int32_t semihost_open(const char *name, int32_t mode) {
  size_t length = 0;
  while (name[length]) length++;
  uintptr_t block[3] = {(uintptr_t)name, (uintptr_t)mode, length};
  return semihost(0x01, block);
}

/* Both return the number of bytes NOT transferred. */
static int32_t semihost_read(int32_t file, void *to, size_t bytes) {
  uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)to, bytes};
  return semihost(0x06, block);
}

static int32_t semihost_write(int32_t file, const void *from, size_t bytes) {
  uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)from, bytes};
  return semihost(0x05, block);
}

static _Noreturn void board_exit(int32_t status) {
  uintptr_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uintptr_t)status};
  semihost(0x20 /* SYS_EXIT_EXTENDED */, block);
  for (;;) {
  }
}

extern uint8_t __stack_bottom;
extern uint32_t __stack_top[], __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[];

/* volatile: both calls go through a pointer that the compiler cannot see through. Set at run time, so that the
   image's .data is the program's alone. */
static int32_t (*volatile program)(void);
static int32_t (*volatile nothing)(void);

/* A free-running counter of the board; under -icount it counts virtual time, so instructions. */
#if defined(TIMER_CMSDK)
static void timer_start(void) {
  volatile uint32_t *timer = (uint32_t *)TIMER_BASE; /* CTRL, VALUE, RELOAD: counts down */
  timer[2] = 0xFFFFFFFFu;
  timer[1] = 0xFFFFFFFFu;
  timer[0] = 1;
}
static inline uint32_t timer_now(void) { return ~((volatile uint32_t *)TIMER_BASE)[1]; }
#elif defined(TIMER_NRF51)
static void timer_start(void) {
  *(volatile uint32_t *)(TIMER_BASE + 0x508) = 3; /* BITMODE: 32 bits */
  *(volatile uint32_t *)(TIMER_BASE + 0x510) = 0; /* PRESCALER */
  *(volatile uint32_t *)(TIMER_BASE + 0x000) = 1; /* TASKS_START */
}
static inline uint32_t timer_now(void) {
  *(volatile uint32_t *)(TIMER_BASE + 0x040) = 1;      /* TASKS_CAPTURE[0] */
  return *(volatile uint32_t *)(TIMER_BASE + 0x540); /* CC[0] */
}
#elif defined(TIMER_SSE)
static void timer_start(void) { *(volatile uint32_t *)TIMER_BASE = 1; /* CNTCR.EN */ }
static inline uint32_t timer_now(void) { return *(volatile uint32_t *)(TIMER_BASE + 8); /* CNTCV, low word */ }
#else
#error no timer named for this board
#endif

static __attribute__((noinline)) uint32_t clock_of(int32_t (*call)(void)) {
  uint32_t before = timer_now();
  call();
  return timer_now() - before;
}

/* Bytes of stack below this function's frame that `call` writes: painted, called, scanned. */
static __attribute__((noinline)) uint32_t stack_of(int32_t (*call)(void), uint8_t paint) {
  volatile uint8_t *top;
  volatile uint8_t *at;
  __asm volatile("mov %0, sp" : "=r"(top));
  for (at = &__stack_bottom; at != top; at++) *at = paint;
  call();
  for (at = &__stack_bottom; at != top && *at == paint; at++) {
  }
  return (uint32_t)(top - at);
}

static void measure(void) {
  uint32_t record[6];
  timer_start();
  record[0] = clock_of(program);
  record[1] = clock_of(nothing);
  record[2] = stack_of(program, 0xA5);
  record[3] = stack_of(program, 0x5C);
  record[4] = stack_of(nothing, 0xA5);
  record[5] = stack_of(nothing, 0x5C);
  int32_t file = semihost_open("profile", SEMIHOST_WRITE);
  semihost_write(file, record, sizeof record);
}

/* Runs the program on the examples of the file "in" and leaves its outputs in "out". The file begins with two
   words: how many examples, and whether to measure the first (instruction clock and stack) into "profile". */
static void board_main(void) {
  uint32_t head[2];
  program = call_program;
  nothing = call_nothing;
  int32_t in = semihost_open("in", SEMIHOST_READ);
  int32_t out = semihost_open("out", SEMIHOST_WRITE);
  if (in < 0 || out < 0 || semihost_read(in, head, sizeof head)) board_exit(EXIT_FILES);
  for (uint32_t i = 0; i < head[0]; i++) {
    for (int b = 0; b < INPUTS; b++) {
      if (semihost_read(in, buffers[b].at, buffers[b].bytes)) board_exit(EXIT_FILES);
    }
    if (i == 0 && head[1]) measure();
    int32_t status = program();
    if (status) {
      int32_t file = semihost_open("status", SEMIHOST_WRITE);
      semihost_write(file, &status, sizeof status);
      board_exit(EXIT_REFUSED);
    }
    for (int b = INPUTS; b < INPUTS + OUTPUTS; b++) {
      if (semihost_write(out, buffers[b].at, buffers[b].bytes)) board_exit(EXIT_FILES);
    }
  }
}

__attribute__((used, section(".vectors"))) static const void *const vectors[16] = {
    __stack_top,    (void *)&Reset_Handler, (void *)&fault, (void *)&fault, (void *)&fault, (void *)&fault,
    (void *)&fault, (void *)&fault,         0,              0,              0,              (void *)&fault,
    (void *)&fault, 0,                      (void *)&fault, (void *)&fault};

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
  board_exit(EXIT_FAULT);
}
