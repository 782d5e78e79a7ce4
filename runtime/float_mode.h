/* Denormal numbers cost a hundred times a normal one's time, and in f32 mean nothing to training. Compiled code reads
   and writes zeros for them, as long as it runs: the mode is the thread's, so whoever sets it puts back what he found. */
#ifndef JEPAC_RUNTIME_FLOAT_MODE_H
#define JEPAC_RUNTIME_FLOAT_MODE_H

#include "runtime/abi.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static inline uint64_t float_mode(void) {
#if defined(__x86_64__)
  return _mm_getcsr();
#elif defined(__aarch64__)
  uint64_t x;
  __asm__ volatile("mrs %0, fpcr" : "=r"(x));
  return x;
#else
  return 0;
#endif
}

static inline void float_mode_set(uint64_t mode) {
#if defined(__x86_64__)
  _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
  (void)mode;
#endif
}

static inline void float_mode_flush(bool on) {
#if defined(__x86_64__)
  uint64_t bits = FLOAT_MODE_X86;
#else
  uint64_t bits = FLOAT_MODE_ARM;
#endif
  float_mode_set(on ? float_mode() | bits : float_mode() & ~bits);
}

#endif
