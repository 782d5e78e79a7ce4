/* libjepac: the compiler as a library. A model is loaded from text or a file, its entries compiled to
   sessions, and a session's tensors are memory the program reads and writes.

   Any number of models may be loaded and compiled at the same time on different threads, and sessions of one
   model may run (jepac_run) on different threads at the same time; otherwise a model, and a session, belong
   to one thread at a time. A session has threads of its own beside the caller's (jepac_options.threads).
   Sessions are freed before their model.

   Functions that can fail return a jepac_status (0 is success) or NULL, and jepac_message then says what is
   wrong with file, line and column. NULL for a model, session, name or path that is needed is such a failure
   (JEPAC_USAGE), not a crash. Where memory or threads run out the status is JEPAC_BUDGET. When that was
   memory for the compiler's own data the model can only be freed from then on (its functions fail with the same
   message), while its sessions go on. Two things still end the process: a state that can only be an error of
   jepac itself, with status 70, and want of memory inside of LLVM, which compiles. */
#ifndef JEPAC_H
#define JEPAC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define JEPAC_API __attribute__((visibility("default")))
#else
#define JEPAC_API
#endif

typedef struct jepac_model jepac_model;
typedef struct jepac_session jepac_session;

typedef enum {
  JEPAC_OK = 0,
  JEPAC_MODEL = 1,     /* error in the model file */
  JEPAC_USAGE = 2,     /* no such entry, setting or tensor */
  JEPAC_FILE = 3,      /* a file cannot be read or written */
  JEPAC_NONFINITE = 4, /* a scalar result is NaN or infinite: no state has changed */
  JEPAC_BUDGET = 6     /* not enough memory */
} jepac_status;

typedef enum {
  JEPAC_F32 = 1,
  JEPAC_F64,
  JEPAC_BF16,
  JEPAC_I32,
  JEPAC_I64,
  JEPAC_U32,
  JEPAC_BOOL, /* one byte */
  JEPAC_I8,
  JEPAC_U8,
  JEPAC_I16,
  JEPAC_U16,
  JEPAC_U64,
  JEPAC_F16 /* IEEE's binary16, in a uint16_t */
} jepac_type;

/* Several processes that train one model on a share of each batch, each with a part of the samples (docs/scale.md). The program
   brings the communicator; sums are made by jepac, in the order of the processes, so that their bits do not depend on it.
   All processes load the same model with the same options and call jepac_run as often. */
typedef struct {
  int rank, count; /* this process's number, of how many: at most 4096 */
  /* Process k's bytes at[k] to at[k + 1] of send go to process k, which receives one piece of each, in their order
     (MPI_Alltoallv: every piece received has at[rank + 1] - at[rank] bytes). */
  void (*exchange)(void *communicator, const void *send, const int64_t *at, void *recv);
  /* Process k has the bytes at[k] to at[k + 1] of data; afterwards all have all of it (MPI_Allgatherv, in place). */
  void (*gather)(void *communicator, void *data, const int64_t *at);
  void *communicator; /* handed to both */
} jepac_ranks;

typedef struct {          /* all may be 0 */
  const char *const *set; /* "NAME=VALUE": dimensions, model parameters, recipe settings; NULL-terminated */
  const char *models_dir; /* where `use "nn/..."` looks after the file's own folder, and jepac_evaluate for
                             its probes; 0: the installed models */
  const char *cache_dir;  /* compiled kernels are kept here; 0: nowhere */
  int threads;            /* at most 1024; 0: one for each CPU */
  int64_t max_memory;     /* budget of a session's arena in bytes: recomputes more, else fails; 0: none */
  jepac_type
      precision; /* of values stored between kernels, JEPAC_F32, JEPAC_BF16 or JEPAC_F16; 0: the recipe's, else f32 */
  int allow; /* what a model file may do beside computing: JEPAC_ALLOW_*, added up */
  const jepac_ranks
      *ranks; /* of "train_step": its inputs are this process's share of a batch; 0: it is alone */
} jepac_options;

enum {
  JEPAC_ALLOW_EXTERN = 1, /* have libraries loaded that it names, which runs their code */
  JEPAC_ALLOW_USE = 2     /* use files outside of its folder and of models_dir */
};

JEPAC_API const char *jepac_version(void);
/* LLVM, which generates the code, has switches for a whole process only. They belong to the program, so libjepac
   leaves them alone; a program in which nobody else uses LLVM may give them away by this call before it
   compiles anything: models then compile in three quarters of the time, with the same results. */
JEPAC_API void jepac_own_process(void);

/* ---- models ---- */
/* Never NULL: jepac_load_status tells whether it can be used. name stands in messages; files that the text
   uses are looked up from its folder. */
JEPAC_API jepac_model *jepac_load_text(const char *text, const char *name, const jepac_options *opt);
JEPAC_API jepac_model *jepac_load_file(const char *path, const jepac_options *opt);
JEPAC_API jepac_status jepac_load_status(const jepac_model *m);
/* Everything reported since the last call, as text; valid until the next call with this model. */
JEPAC_API const char *jepac_message(jepac_model *m);
JEPAC_API void jepac_model_free(jepac_model *m);

JEPAC_API int jepac_entry_count(const jepac_model *m);
JEPAC_API const char *jepac_entry_name(const jepac_model *m, int i);

/* ---- sessions ---- */
enum {
  JEPAC_TRAIN = 1, /* train mode: dropout, batch statistics */
  JEPAC_GRAD = 2   /* results grad.<parameter> of the first scalar result */
};
/* An entry (NULL: the first), or "train_step": the whole optimizer step on the entry's arguments. NULL after
   reporting. */
JEPAC_API jepac_session *jepac_compile(jepac_model *m, const char *entry, int flags);
JEPAC_API void jepac_session_free(jepac_session *s);

typedef enum { JEPAC_INPUT, JEPAC_STATE, JEPAC_RUNTIME, JEPAC_RESULT } jepac_kind;
typedef struct {
  const char *name;
  jepac_kind kind;
  jepac_type type;
  int rank;
  int64_t dim[8];
  int64_t bytes;
  void *data; /* row-major, inside the session; stays in place */
} jepac_tensor;

JEPAC_API int jepac_tensor_count(const jepac_session *s);
JEPAC_API jepac_tensor jepac_tensor_at(const jepac_session *s, int i);
/* A kind-independent look-up: 0 and *out untouched when there is no such tensor. */
JEPAC_API int jepac_find(const jepac_session *s, const char *name, jepac_tensor *out);
/* Lets an input be read from the caller's memory, of the tensor's bytes, row-major and aligned to 64 bytes,
   instead of being copied into the session; 0 as data: from the session's own again. The memory stays the caller's
   and must be there whenever the session runs; jepac_find then gives its address. JEPAC_USAGE after reporting when
   there is no such input or the address is not aligned. */
JEPAC_API jepac_status jepac_bind(jepac_session *s, const char *name, void *data);
/* Sets a run-time number: seed, step, steps_per_epoch or total_steps, which a program need not read.
   JEPAC_USAGE for any other name, and for a number below 0 but of seed. */
JEPAC_API jepac_status jepac_set_number(jepac_session *s, const char *name, int64_t value);

/* Initial values for all states. */
JEPAC_API void jepac_init(jepac_session *s, uint64_t seed);
/* One call: inputs to results; new states are stored unless a scalar result is not finite. */
JEPAC_API jepac_status jepac_run(jepac_session *s);
/* Copies the states both sessions have, by name (from training to evaluation); returns how many. */
JEPAC_API int jepac_copy_states(jepac_session *to, const jepac_session *from);
/* All states as a .safetensors file. Loading needs every parameter and buffer; optimizer state may be
   missing. */
JEPAC_API jepac_status jepac_save(jepac_session *s, const char *path);
JEPAC_API jepac_status jepac_load(jepac_session *s, const char *path);

/* ---- evaluation ---- */
typedef struct {                     /* what goes before the run's recipe; all may be 0 */
  const char *protocols;             /* "linear,r2"; 0: all that the model and the data allow */
  const char *m_val;                 /* "1,3,5": views aggregated */
  int64_t images, test_images;       /* plain images to train probes on, and to test them on */
  int64_t sequences, test_sequences; /* samples seen in several views, for the same */
  int64_t retrieval_views;           /* of a sample, one of them the query */
  const char *data;                  /* folder of the data set; 0: where its source looks */
  const char *export_to;             /* folder for embeddings, labels and actions; 0: none */
  int keep;                          /* 1: write eval.json and report.html into the run's folder */
} jepac_evaluation;
/* Evaluates a run, the folder that `jepac train` wrote, as `jepac eval` does. The settings of opt come after
   those that the run was trained with; opt, what, json and message may be 0. *json: the figures, the text of
   eval.json; 0 on failure. *message: everything reported, "" when there is nothing, 0 where there is no memory for
   it. Both are the caller's to free(). */
JEPAC_API jepac_status jepac_evaluate(const char *run, const jepac_options *opt, const jepac_evaluation *what,
                                      char **json, char **message);

#ifdef __cplusplus
}
#endif

#endif
