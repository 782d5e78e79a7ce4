/* Evaluation of a run: what a trained model's embeddings hold (docs/evaluation.md). `jepac eval` and the C
   interface call eval_run; everything else is this folder's own (eval/parts.h). */
#ifndef JEPAC_EVAL_EVAL_H
#define JEPAC_EVAL_EVAL_H

#include "lib/compiler.h"

/* What goes before the recipe's protocols(...). 0 and NULL: as the recipe says. */
typedef struct {
  const char *protocols; /* "linear,r2"; NULL: all that the model and the data allow */
  const char *m_val;     /* "1,3,5": views aggregated */
  int64_t images, test_images, sequences, test_sequences, retrieval_views;
  const char *data;      /* folder of the data set; NULL: the run's, else where its source looks */
  const char *test_data; /* of the test part; NULL: the same */
  const char *export_to; /* folder for embeddings, labels and actions; NULL: none */
  bool best;             /* the states of best.safetensors instead of the last ones */
  struct Ranks *ranks;   /* which share the samples and have the same figures; NULL: this process is alone */
  bool keep;             /* write eval.json and report.html into the run's folder */
  /* Not a run but a model file, with the states of this tensor file or run; its figures go into the folder `out`.
     NULL: a run; and nowhere. */
  const char *params, *out;
  /* The table for people, piece by piece, and the seconds of each protocol; either may be NULL. */
  void (*print)(void *ctx, const char *text);
  void (*timed)(void *ctx, const char *protocol, double seconds);
  void *ctx;
} EvalOptions;

/* Evaluates the run in `folder` (with o->params: the model file of that path) with a compiler of the caller's; c->set
   comes after the settings that the run was trained with. Appends the figures to json, one line a key. Everything allocated belongs to c->arena;
   sessions are closed. */
Status eval_run(const Compiler *c, const char *folder, const EvalOptions *o, StrBuf *json);

/* RUN/report.html of a run that may still train: curves and recipe; where an evaluation has written it, with new curves. */
Status report_run(Arena *a, const char *folder, Diags *d);

/* The table of protocols as Markdown, for docs/evaluation.md. */
void eval_reference(StrBuf *b);

#endif
