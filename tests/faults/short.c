/* short N COMMAND...: runs a command whose Nth write(2) of more than one byte, on any thread, writes only half of them.
   strace can make a call fail, but not do less than it was asked to. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static long left; /* writes until the one to cut */

static void cut(pid_t p) {
  struct user_regs_struct r;
  struct iovec v = {&r, sizeof r};
  if (ptrace(PTRACE_GETREGSET, p, (void *)NT_PRSTATUS, &v)) return;
#if defined(__x86_64__)
  unsigned long long *n = &r.rdx;
#else
  unsigned long long *n = &r.regs[2];
#endif
  if (*n < 2 || --left) return;
  *n /= 2;
  ptrace(PTRACE_SETREGSET, p, (void *)NT_PRSTATUS, &v);
}

static void stopped(pid_t p, int sig) {
  struct __ptrace_syscall_info i;
  if (sig == (SIGTRAP | 0x80)) {
    if (ptrace(PTRACE_GET_SYSCALL_INFO, p, (void *)sizeof i, &i) > 0 && i.op == PTRACE_SYSCALL_INFO_ENTRY &&
        i.entry.nr == SYS_write)
      cut(p);
    sig = 0;
  } else if (sig == SIGTRAP || sig == SIGSTOP) {
    sig = 0;
  }
  ptrace(PTRACE_SYSCALL, p, NULL, (void *)(long)sig);
}

int main(int argc, char **argv) {
  int status, result = 2;
  if (argc < 3 || (left = atol(argv[1])) < 1) return 2;
  pid_t first = fork(), p;
  if (!first) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  if (waitpid(first, &status, 0) != first) return 2;
  ptrace(PTRACE_SETOPTIONS, first, NULL,
         (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
  ptrace(PTRACE_SYSCALL, first, NULL, NULL);
  while ((p = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
    if (p <= 0) continue;
    if (WIFSTOPPED(status)) stopped(p, WSTOPSIG(status));
    else if (p == first) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return result;
}
