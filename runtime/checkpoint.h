/* Checkpoints: RUN/checkpoint.safetensors holds every state of the training plan; where the run stands (step,
   seed, recipe, plan identity) is JSON text in the same file's metadata, so one rename replaces all of it. The
   metadata also has a CRC-32 (as zlib's crc32) of each tensor's bytes and of the rest of the header. The checkpoint
   before stays as RUN/previous.safetensors: where the newer one is missing or damaged, it is read instead, with a
   warning; a run that goes on from it renames the damaged one to RUN/damaged.safetensors, which must not become the
   next previous one. */
#ifndef JEPAC_RUNTIME_CHECKPOINT_H
#define JEPAC_RUNTIME_CHECKPOINT_H

#include "runtime/exec.h"
#include "runtime/safetensors.h"

typedef struct {
  int64_t step, epoch; /* optimizer steps and epochs completed */
  int64_t total;       /* steps the run was to have; 0: not known */
  uint64_t seed;
  uint64_t plan;      /* Plan.identity */
  uint64_t source;    /* hash of the model's texts; 0: not known */
  const char *model;  /* path of the model file, or "" */
  const char *recipe; /* resolved recipe as JSON text, or "" */
  const char *text;   /* anything else evaluation needs, such as the model's sources; or "" */
  const char *data;   /* --data as an absolute path, or "" */
  double best;        /* figure of best.safetensors, its step (0: there is none), validations since */
  int64_t best_step, since_best;
} CheckpointInfo;

enum { CHECKPOINT_FILES = 2 };
extern const char
    *const checkpoint_files[CHECKPOINT_FILES]; /* their names in a run's folder, the newest first */

/* Does the folder hold a checkpoint, whole or not? ST_FILE after reporting: it cannot be told. */
Status checkpoint_find(const char *folder, bool *found, Diags *d);
/* Opens a tensor file and compares its check sums, where it has some; NULL after reporting, errno then as of st_open. */
StFile *checkpoint_file(const char *path, Diags *d);
bool checkpoint_has_sums(const StFile *f);

/* The states as best.safetensors, which no run is resumed from. */
Status checkpoint_save_best(const char *folder, const Session *s, const CheckpointInfo *info, Diags *d);
/* Makes the folder when needed. */
Status checkpoint_save(const char *folder, const Session *s, const CheckpointInfo *info, Diags *d);
/* The newest whole checkpoint of a folder, for states_load; NULL after reporting. That a newer one is
   missing or damaged is an error only where there is no older one. The information's text lives in a. */
StFile *checkpoint_open(const char *folder, CheckpointInfo *info, Arena *a, Diags *d);
StFile *checkpoint_open_best(const char *folder, CheckpointInfo *info, Arena *a, Diags *d);
/* For who is about to save into the folder after opening `taken`: renames a newer one that could not be read. */
Status checkpoint_set_aside(const char *folder, const StFile *taken, Diags *d);

/* The newest whole checkpoint of a run's folder, or the tensor file that path names; NULL after reporting. */
StFile *states_open(const char *path, Arena *a, Diags *d);

/* The states of a session, in t (as many as its plan has tensors); returns how many. */
int states_list(const Session *s, StTensor *t);

/* What must correspond between a file and the plan's states. */
enum { LOAD_ALL_STATES = 1, LOAD_ALL_TENSORS = 2 };
/* Copies tensors into the states of the same names; every difference is reported by name. With LOAD_ALL_TENSORS every
   tensor of the file must be a state of the plan; an evaluation's plan has only some of them. Without
   LOAD_ALL_STATES, states absent from the file keep their values, except that a state initialised as a copy
   is copied again. Nothing is changed when there is an error. */
Status states_load(Session *s, const StFile *f, int flags, Diags *d);

#endif
