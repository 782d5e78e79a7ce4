/* What is declared and cannot matter. lint.c reads the text: names never read, dimensions, files and
   functions never used. lint_settings.c looks at a training step: settings that its optimizer, data or
   schedule does not read, bindings, and monitors that cannot trip. What can be set and is ignored is an
   error, a value that nobody reads a warning. Private to frontend/. */
#ifndef JEPAC_FRONTEND_LINT_H
#define JEPAC_FRONTEND_LINT_H

#include "frontend/elab.h"

/* Reads every file once they are loaded. Throws after reporting when there is an error; warnings are kept. */
void lint_names(Elab *e);
/* Reports the kept warnings, once a model, when elaboration has found no error. */
void lint_warn(Model *m, Diags *d);
/* Reads all entries in both modes, which marks the settings that they use. */
void lint_entries(Elab *e);
/* Whether the field of the model that a state belongs to is reported as never read. */
bool lint_covers(const Model *m, const char *state);

/* ---- settings: arguments written in the train section or by --set ---- */

/* What becomes of one of them; elaboration marks it. */
struct Use {
  const Ast *at;      /* the argument */
  const Ast *param;   /* the first parameter it is bound to */
  const char *callee; /* whose parameter */
  bool is_default;    /* the value is the parameter's default */
  bool read;
  const Ast *ignored; /* an `ignored` statement that held for it */
};

/* Listens to evaluation. */
extern const Watch lint_watch;
/* Checks --set of a model that is not trained, after one of its entries. */
void lint_entry(Elab *e);
/* Checks a finished training step: f is the section's frame, monitored values are found by name. Throws after
   reporting errors. */
void lint_step(Elab *e, Frame *f, const Vars *metrics);

#endif
