/* The contract between compiled code and the runtime: a plan is a list of steps over one arena. Plain data;
   no compiler types. */
#ifndef JEPAC_RUNTIME_ABI_H
#define JEPAC_RUNTIME_ABI_H

#include "ir/agreed.h"
#include "ir/type.h"

/* A step's code does chunk `chunk` of the step's fixed number of chunks. ptr: operand addresses; scratch:
   private memory of the calling thread, 64-byte aligned, contents undefined on entry, at least Step.scratch
   bytes; param: Step.param. Different chunks may run at the same time on different threads, so they write
   disjoint memory. */
typedef void (*StepFn)(void *const *ptr, int64_t chunk, void *scratch, const void *param);

/* An operand whose address moves with the steps of a loop: by `move` bytes times step + phase, the remainder by period
   where there is one; its offset is that in the first step. */
typedef struct {
  int operand, loop;
  int64_t move;
  int period, phase;
} StepMove;

/* Steps [first, last) of the plan are run `steps` times, one time after the other. Loops are numbered from 1. */
typedef struct {
  int first, last;
  int64_t steps;
  int parent; /* the loop around it, 0 none */
} PlanLoop;

typedef struct {
  StepFn fn;
  int64_t nchunk;
  const int64_t *operand; /* noperand arena offsets */
  int noperand;
  int64_t scratch;      /* bytes a thread */
  const void *param;    /* constants of the step, or NULL */
  const char *name;     /* symbol or library call: "k12_conv2d" */
  const char *where;    /* model line: "nn/resnet.jepa:31", gradients end in "'" */
  double flops, bytes;  /* for roofline tables */
  const int64_t *chunk; /* per operand, or NULL. Where positive, operand is an offset into the thread's
                           scratch instead, of a piece of so many bytes that stands for chunk c's part: the
                           pointer given to chunk c is that address minus c * chunk. */
  int chain;            /* the first of a chain says how many steps run together: chunk c of each, one after
                           the other on one thread; they have equal nchunk. Otherwise 1 or 0. */
  bool keeps_denormals; /* f64 alone, or not our code; other steps take denormals for zeros
                           (runtime/float_mode.h) */
  int overlap;          /* so many steps just before this one, whole chains, may still be running: it touches
                           nothing that they write and writes nothing that they touch */
  bool ranks; /* works with other processes: scratch is the session's Ranks (runtime/ranks.h) instead */
  bool
      beside; /* the thread for communication runs it, where there is one; nobody waits for it but who says so: */
  int awaits;           /* of the steps before this number, those that run beside others have finished */
  int loop;             /* the innermost loop it is in, 0 none */
  const StepMove *move; /* by operand */
  int nmove;
} Step;

/* What makes denormals zeros, as results and as operands: bits of x86's MXCSR and of ARM's FPCR. */
enum { FLOAT_MODE_X86 = 0x8040, FLOAT_MODE_ARM = 1 << 24 };

typedef enum { PT_ARG, PT_STATE, PT_RUNTIME, PT_RESULT } PlanTensorKind;
typedef struct {
  const char *name;
  PlanTensorKind kind;
  DType dt;
  Shape shape;
  int64_t offset; /* arena byte offset, row-major contiguous */
  /* initial value of a state */
  InitKind init;
  Imm init_a;
  double init_b;
  uint32_t init_stream;
  int init_from; /* copy: index of the other tensor */
  bool trained;  /* parameter (not a buffer or slot) */
  bool slot;     /* optimizer state */
} PlanTensor;

typedef struct {
  const char *name;
  int64_t arena_bytes;   /* size of the arena: states, inputs, results, temporaries */
  int64_t scratch_bytes; /* largest Step.scratch */
  const Step *step;
  int nstep;
  const PlanLoop *loop; /* [nloop + 1], the first unused; inner ones behind outer ones */
  int nloop;
  int ncompute; /* steps [0, ncompute) write no state; [ncompute, nstep) commit state */
  const PlanTensor *tensor;
  int ntensor;
  uint64_t identity; /* hash of everything that decides the bits of a result */
} Plan;

#endif
