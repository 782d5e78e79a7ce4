/* Trains for five steps and prints the bits of the losses; "denied" first takes the right to ask for tiles away. */
#include "lib.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void deny(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog filter = {4, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) exit(9);
}

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) deny();
  void *arena = aligned_alloc(LIB_ARENA_ALIGN, (LIB_ARENA_SIZE + 4095) / 4096 * 4096);
  int rc = lib_init(arena, 7);
  printf("init: %s\n", lib_error(rc));
  if (rc) return rc;
  for (int i = 0; i < LIB_X_COUNT; i++) lib_x(arena)[i] = (float)(i * 37 % 101) / 50 - 1;
  for (int step = 0; step < 5 && !rc; step++) {
    *lib_step(arena) = step;
    rc = lib_train_step(arena);
    uint32_t u;
    memcpy(&u, lib_loss(arena), sizeof u);
    printf("%08" PRIx32 " %.3f\n", u, (double)*lib_loss(arena));
  }
  return rc;
}
