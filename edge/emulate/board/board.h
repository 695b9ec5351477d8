/* What start.c, main.c and semihost.c share. */
#ifndef BOARD_H
#define BOARD_H
#include <stddef.h>
#include <stdint.h>

enum { SEMIHOST_READ = 1 /* "rb" */, SEMIHOST_WRITE = 5 /* "wb" */ };

int32_t semihost_open(const char *name, int32_t mode);
int32_t semihost_read(int32_t file, void *to, size_t bytes);
int32_t semihost_write(int32_t file, const void *from, size_t bytes);
void board_main(void);
_Noreturn void board_exit(int32_t status);

#endif
