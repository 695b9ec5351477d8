/* Runs the program on the examples of the file "in" and leaves its outputs in "out". The file begins with two
   words: how many examples, and whether to measure the first (instruction clock and stack) into "profile". */
#define HARNESS_MAIN 1
#include "harness_config.h"
#include "harness_board.h"

extern uint8_t __stack_bottom;

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

static uint32_t bytes_of(int buffer) { return (uint32_t)(buffers[buffer].bytes); }

void board_main(void) {
  uint32_t head[2];
  program = call_program;
  nothing = call_nothing;
  int32_t in = semihost_open("in", SEMIHOST_READ);
  int32_t out = semihost_open("out", SEMIHOST_WRITE);
  if (in < 0 || out < 0 || semihost_read(in, head, sizeof head)) board_exit(4);
  for (uint32_t i = 0; i < head[0]; i++) {
    for (int b = 0; b < INPUTS; b++) {
      if (semihost_read(in, buffers[b].at, bytes_of(b))) board_exit(5);
    }
    if (i == 0 && head[1]) measure();
    int32_t status = program();
    if (status) board_exit(0x100 | (status & 0xFF));
    for (int b = INPUTS; b < INPUTS + OUTPUTS; b++) {
      if (semihost_write(out, buffers[b].at, bytes_of(b))) board_exit(6);
    }
  }
}
