/* Model files to graphs: parse, elaborate (modules, repeat/if, shapes), and build entry and training-step
   graphs. The language is docs/language.md. */
#ifndef JEPAC_FRONTEND_H
#define JEPAC_FRONTEND_H

#include "frontend/symbols.h"
#include "ir/graph/graph.h"
#include "ir/recipe.h"

typedef struct {
  const char *name, *value; /* --set NAME=VALUE */
} NameValue;

typedef struct {
  const char *name; /* entry argument (or data field) of known type: its extents bind dims */
  DType dt;
  Shape shape;
} KnownShape;

/* The language's own library (frontend/std), parsed. Any number of models may share one, on any threads. */
typedef struct Library Library;
Library *library_parse(Arena *a);

typedef struct {
  const NameValue *set;
  int nset;
  const KnownShape *known; /* for example the tensors of --inputs */
  int nknown;
  int ranks;              /* > 1: batches are shared by so many processes */
  bool spread;            /* ... which keep optimizer state and averages in parts */
  const char *std_dir;    /* where `use` looks after the file's own folder: holds "nn/..." ; may be NULL */
  const char *text;       /* the main file's text; NULL: read from its path */
  const Library *library; /* NULL: the model has one of its own */
  bool use_anywhere; /* `use` reads any file, not only what lies under the main file's folder or std_dir */
  bool run_extern;   /* libraries that the model names may be loaded, which runs their code */
  bool *
      unread; /* set where a file is there but cannot be read; may be NULL, else lives as long as the model */
  int64_t open_dims; /* > 0: dimensions that nothing gives a value have this one, for an editor */
  Symbols *symbols;  /* learns what the names of the main file mean; NULL: nobody asks */
} FrontendOptions;

typedef struct Model Model;

/* Parses and checks a file and everything it uses. NULL after reporting to d. The Model lives in a. The
   language's own library (frontend/std) is compiled into the binary. */
Model *frontend_load(Arena *a, Diags *d, const char *path, const FrontendOptions *opt);

const char *frontend_path(const Model *m);   /* of the main file, as given */
uint64_t frontend_text_hash(const Model *m); /* of the texts of it and of what it uses */
int frontend_entry_count(const Model *m);
const char *frontend_entry_name(const Model *m, int i);

/* Graph of one entry in train or eval mode: inputs are its arguments and the states it reads; outputs its
   named results and, in train mode, buffer updates. With grad, also "grad.<param>" = grad(first scalar
   result, param) for every parameter that is not an EMA copy. NULL after reporting. */
Graph *frontend_entry(Model *m, Diags *d, const char *entry, bool train, bool grad);

/* The whole optimizer step: objectives, grad placeholders, clipping, optimizers, EMA, metrics; outputs the
   metrics (first: "loss") and an update for every state. With bind_data the inputs are "data.<field>" as the
   recipe's bind clauses say and all objectives (probes too) take part; without, they are the main entry's own
   arguments and only the main objective takes part. */
Graph *frontend_train_step(Model *m, Diags *d, bool bind_data);

/* Loss and metrics of the training step, those of probes too, in eval mode: what is measured on data that are not trained
   on. Inputs are "data.<field>"; no state changes. NULL after reporting, also where the recipe's `best` is none of them. */
Graph *frontend_validation(Model *m, Diags *d);

/* The train section's numbers and data; NULL (reported) when the file has none. */
const Recipe *frontend_recipe(Model *m, Diags *d);

#endif
