/* Names that nobody reads, found in the text by liveness (Aho et al., Compilers, 9.2.5) over the statements
   of each function and body, which are structured: what a statement reads is live before it, what it assigns
   is not. What is live at a function's start it reads from outside. */
#include "frontend/lint.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LOOPS = 6 }; /* nested loops looked at precisely */

typedef VEC(const char *) Names;

typedef struct {
  DiagKind kind;
  const Ast *at;
  const char *text;
  const Ast *note; /* or NULL */
  const char *note_text;
  const char *field; /* of the main model, or NULL */
  int file;
} Finding;

struct Lint {
  VEC(Finding) found;
  bool said;
};

/* An assignment after which the name's earlier value is gone. */
typedef struct {
  const char *name;
  const Ast *at, *block;
} Kill;

/* What a declaration, or a value of --set, names. */
typedef struct {
  const Ast *at;
  Names names;
  bool given; /* by --set: counts for every file */
} Mention;

typedef struct {
  const char *name;
  int by; /* a mention */
} Mentioned;

typedef struct {
  Elab *e;
  Lint *out;
  const Source *main;
  Names library;        /* every name after a dot in the library */
  VEC(Mentioned) index; /* of mentions, by name */
  Names fields;         /* every name after a dot */
  int quiet;            /* passes over loops that only collect */
  int loops;
  const Ast *model; /* in a body: assignments make its fields */
  bool keep_fields; /* fields are read by others */
  Names all, slots; /* what the function reads anywhere; slots of `each` */
  VEC(Kill) kills;
  VEC(Mention) mentions;
} Walk;

/* ---- sets of interned names ---- */

static bool has(const Names *s, const char *name) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == name) return true;
  return false;
}

static bool add(Walk *w, Names *s, const char *name) {
  if (has(s, name)) return false;
  vec_push(w->e->arena, s, name);
  return true;
}

static void drop(Names *s, const char *name) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == name) s->v[i--] = s->v[--s->n];
}

static bool join(Walk *w, Names *into, const Names *from) {
  bool grew = false;
  for (int i = 0; i < from->n; i++) grew |= add(w, into, from->v[i]);
  return grew;
}

/* ---- findings ---- */

static void find(Walk *w, Finding f) {
  if (w->quiet || (f.kind == DIAG_WARNING && f.at->src != w->main)) return;
  const Model *m = w->e->m;
  while (f.file < m->files.n && m->files.v[f.file] != f.at->src) f.file++;
  vec_push(w->e->m->arena, &w->out->found, f);
}

static int by_place(const void *a, const void *b) {
  const Finding *x = a, *y = b;
  if (x->file != y->file) return x->file - y->file;
  return x->at->begin - y->at->begin;
}

/* An unread value whose name starts with _ is meant. */
static bool meant(const char *name) { return name[0] == '_'; }

static void unread(Walk *w, const Ast *at, const char *name, const Ast *block) {
  Arena *a = w->e->m->arena;
  if (meant(name) || (w->model && w->keep_fields)) return;
  Finding f = {.kind = DIAG_WARNING, .at = at};
  if (w->model) {
    f.text = arena_printf(a, "field `%s` of %s is never read", name, w->model->name);
    if (w->model == w->e->m->main) f.field = name;
  } else if (has(&w->all, name)) {
    f.text = arena_printf(a, "this value of `%s` is never read", name);
    for (int i = 0; i < w->kills.n; i++)
      if (w->kills.v[i].name == name && w->kills.v[i].block == block && w->kills.v[i].at->begin > at->begin)
        f.note = w->kills.v[i].at;
    f.note_text = "it is assigned again here";
  } else {
    f.text = arena_printf(a, "`%s` is never read (call it `_%s` if that is meant)", name, name);
  }
  find(w, f);
}

/* ---- what an expression reads ---- */

/* {name} in a string stands for a value. */
static void reads_text(Walk *w, const char *s, Names *out) {
  for (const char *p = s; (p = strchr(p, '{'));) {
    const char *end = strchr(++p, '}');
    if (end) add(w, out, intern(w->e->m->names, p, (size_t)(end - p)));
  }
}

static void reads(Walk *w, const Ast *a, Names *out) {
  if (!a) return;
  if (a->kind == AST_NAME) add(w, out, a->name);
  if (a->kind == AST_STR) reads_text(w, a->name, out);
  if (a->kind == AST_IGNORED) return;
  if (a->kind == AST_COMP) {
    Names item = {0};
    reads(w, a->kid[0], &item);
    if (a->nkid == 3) reads(w, a->kid[2], &item);
    drop(&item, a->name);
    join(w, out, &item);
    reads(w, a->kid[1], out);
    return;
  }
  int n = a->kind == AST_ASSIGN ? 1 : a->nkid; /* the others are targets */
  for (int i = 0; i < n; i++) reads(w, a->kid[i], out);
}

static void field_names(Walk *w, const Ast *a, Names *out) {
  if (!a) return;
  if (a->kind == AST_FIELD) add(w, out, a->name);
  for (int i = 0; i < a->nkid; i++) field_names(w, a->kid[i], out);
}

/* ---- statements, backwards: live holds what is read afterwards ---- */

static void block(Walk *w, const Ast *b, Names *live);

static void assign(Walk *w, const Ast *at, const char *name, const Ast *in, Names *live) {
  if (!has(live, name)) unread(w, at, name, in);
  drop(live, name);
  Kill k = {name, at, in};
  vec_push(w->e->arena, &w->kills, k);
}

static void branch(Walk *w, const Ast *a, Names *live) {
  Names other = {0};
  join(w, &other, live);
  block(w, a->kid[1], live);
  if (a->nkid == 3) {
    if (a->kid[2]->kind == AST_IF) branch(w, a->kid[2], &other);
    else block(w, a->kid[2], &other);
  }
  join(w, live, &other);
  reads(w, a->kid[0], live);
}

/* A round may be followed by another. */
static void loop(Walk *w, const Ast *a, Names *live) {
  if (++w->loops > MAX_LOOPS) {
    reads(w, a->kid[1], live);
  } else {
    w->quiet++;
    for (bool grew = true; grew;) {
      Names round = {0};
      join(w, &round, live);
      block(w, a->kid[1], &round);
      drop(&round, a->name);
      grew = join(w, live, &round);
    }
    w->quiet--;
    Names round = {0};
    join(w, &round, live);
    block(w, a->kid[1], &round);
  }
  w->loops--;
  reads(w, a->kid[0], live);
}

static void statement(Walk *w, const Ast *a, const Ast *in, Names *live) {
  switch (a->kind) {
  case AST_ASSIGN:
    for (int i = 1; i < a->nkid; i++) assign(w, a->kid[i], a->kid[i]->name, in, live);
    break;
  case AST_DECL_STATE:
  case AST_COLLECT: assign(w, a, a->name, in, live); break;
  case AST_UPDATE:
    if (!has(&w->slots, a->name)) add(w, live, a->name);
    break;
  case AST_RETURN: live->n = 0; break;
  case AST_IF: branch(w, a, live); return;
  case AST_REPEAT: loop(w, a, live); return;
  case AST_FUNC:
  case AST_EACH: return; /* run later: see model() */
  default: break;
  }
  reads(w, a, live);
}

static void block(Walk *w, const Ast *b, Names *live) {
  int n = b->nkid;
  for (int i = 0; i + 1 < b->nkid; i++)
    if (b->kid[i]->kind == AST_RETURN) {
      find(w, (Finding){.kind = DIAG_WARNING,
                        .at = b->kid[i + 1],
                        .text = "this statement is never reached",
                        .note = b->kid[i],
                        .note_text = "the function returns here"});
      n = i + 1;
      break;
    }
  while (n-- > 0) statement(w, b->kid[n], b, live);
}

/* ---- functions and models ---- */

/* Whether a parameter occurs in the types and defaults of the others. */
static bool read_by_params(Walk *w, const Ast *decl, int param) {
  Names all = {0};
  for (int i = 1; i < decl->nkid; i++)
    if (i != param) reads(w, decl->kid[i], &all);
  return has(&all, decl->kid[param]->name);
}

static void unused_params(Walk *w, const Ast *decl, const Names *live) {
  bool entry = decl->kind == AST_FUNC && name_is(decl->word, "entry");
  for (int i = 1; i < decl->nkid; i++) {
    const Ast *p = decl->kid[i];
    if (meant(p->name) || has(live, p->name) || read_by_params(w, decl, i)) continue;
    const char *text =
        arena_printf(w->e->m->arena,
                     entry ? "entry `%s` never reads its argument `%s` (`_ = %s` says that this is meant)"
                           : "`%s` never uses its parameter `%s`",
                     decl->name, p->name, p->name);
    find(w, (Finding){.kind = entry ? DIAG_WARNING : DIAG_ERROR, .at = p, .text = text});
  }
}

static void leave_params(Walk *w, const Ast *decl, Names *live, Names *free_names) {
  for (int i = 1; i < decl->nkid; i++) drop(live, decl->kid[i]->name);
  join(w, free_names, live);
  for (int i = 1; i < decl->nkid; i++) reads(w, decl->kid[i], free_names);
}

/* Adds what fn reads from outside. */
static void function(Walk *w, const Ast *fn, Names *free_names) {
  Names live = {0};
  w->all.n = w->kills.n = 0;
  reads(w, fn->kid[0], &w->all);
  block(w, fn->kid[0], &live);
  unused_params(w, fn, &live);
  leave_params(w, fn, &live, free_names);
}

static void each(Walk *w, const Ast *a, Names *free_names) {
  Names live = {0};
  w->all.n = w->kills.n = w->slots.n = 0;
  reads(w, a->kid[0], &w->all);
  for (int i = 0; i < a->kid[0]->nkid; i++)
    if (a->kid[0]->kid[i]->kind == AST_DECL_STATE) add(w, &w->slots, a->kid[0]->kid[i]->name);
  block(w, a->kid[0], &live);
  w->slots.n = 0;
  if (!has(&live, a->word)) unread(w, a, a->word, NULL);
  if (!has(&live, a->name)) unread(w, a, a->name, NULL);
  drop(&live, a->word);
  drop(&live, a->name);
  join(w, free_names, &live);
}

static void model(Walk *w, const Ast *decl) {
  const Ast *body = decl->kid[0];
  Names live = {0};
  join(w, &live, &w->fields);
  for (int i = 0; i < body->nkid; i++) {
    if (body->kid[i]->kind == AST_FUNC) function(w, body->kid[i], &live);
    if (body->kid[i]->kind == AST_EACH) each(w, body->kid[i], &live);
  }
  w->model = decl;
  w->keep_fields = !w->e->m->main || name_is(decl->word, "source");
  block(w, body, &live);
  w->model = NULL;
  unused_params(w, decl, &live);
}

/* What a probe's equations make, nothing outside it can read. */
static void probe(Walk *w, const Ast *a) {
  static const char *const read[] = {"loss", "optimizer", "clip_norm"};
  Names live = {0};
  for (int i = 0; i < 3; i++) add(w, &live, word(w->e, read[i]));
  w->all.n = w->kills.n = 0;
  reads(w, a->kid[0], &w->all);
  block(w, a->kid[0], &live);
}

/* ---- declarations ---- */

static void remember(Walk *w, const Ast *a, bool given) {
  Mention m = {.at = a, .given = given};
  reads(w, a, &m.names);
  field_names(w, a, &m.names);
  if (a->kind == AST_TRAIN) add(w, &m.names, a->name);
  vec_push(w->e->arena, &w->mentions, m);
}

static int by_name(const void *a, const void *b) {
  const Mentioned *x = a, *y = b;
  if (x->name != y->name) return (uintptr_t)x->name < (uintptr_t)y->name ? -1 : 1;
  return x->by - y->by;
}

static void index_mentions(Walk *w) {
  for (int i = 0; i < w->mentions.n; i++)
    for (int k = 0; k < w->mentions.v[i].names.n; k++) {
      Mentioned m = {w->mentions.v[i].names.v[k], i};
      vec_push(w->e->arena, &w->index, m);
    }
  if (w->index.n) qsort(w->index.v, (size_t)w->index.n, sizeof *w->index.v, by_name);
}

/* Whether a declaration other than `except` names it; only: of this file. */
static bool mentioned(Walk *w, const char *name, const Ast *except, const Source *only) {
  int lo = 0, hi = w->index.n;
  while (lo < hi) {
    int mid = lo + (hi - lo) / 2;
    if ((uintptr_t)w->index.v[mid].name < (uintptr_t)name) lo = mid + 1;
    else hi = mid;
  }
  for (; lo < w->index.n && w->index.v[lo].name == name; lo++) {
    const Mention *m = &w->mentions.v[w->index.v[lo].by];
    if (m->at != except && (!only || m->given || m->at->src == only)) return true;
  }
  return false;
}

static void unused_dims(Walk *w) {
  Model *m = w->e->m;
  for (int i = 0; i < m->dims.n; i++) {
    const Dim *d = &m->dims.v[i];
    bool used = meant(d->name) || d->decl->src != w->main ||
                mentioned(w, d->name, d->decl, m->train ? w->main : NULL);
    for (int k = 0; k < d->files.n && !used; k++) used = mentioned(w, d->name, d->decl, d->files.v[k]);
    if (!used)
      find(w, (Finding){.kind = DIAG_ERROR,
                        .at = d->decl,
                        .text = arena_printf(m->arena, "dimension `%s` is never used", d->name)});
  }
}

/* A library's own declarations that read x.name of what they are given. */
static bool read_by_library(Walk *w, const char *name) {
  const Globals *g = &w->e->m->library;
  for (int i = 0; !w->library.n && i < g->cap; i++)
    if (g->slot[i].name) field_names(w, g->slot[i].at, &w->library);
  return has(&w->library, name) || name_is(name, "forward");
}

static void unused_declarations(Walk *w, const Ast *file) {
  Model *m = w->e->m;
  if (!m->main) return; /* a file for others to use */
  for (int i = 0; i < file->nkid; i++) {
    const Ast *k = file->kid[i];
    if ((k->kind != AST_FUNC && k->kind != AST_MODEL) || meant(k->name)) continue;
    if (k != m->main && !mentioned(w, k->name, k, NULL))
      find(w, (Finding){.kind = DIAG_WARNING,
                        .at = k,
                        .text = arena_printf(m->arena, "%s `%s` is never used",
                                             k->kind == AST_FUNC ? "function" : k->word, k->name)});
    for (int j = 0; k->kind == AST_MODEL && j < k->kid[0]->nkid; j++) {
      const Ast *fn = k->kid[0]->kid[j];
      if (fn->kind != AST_FUNC || !name_is(fn->word, "fn") || meant(fn->name)) continue;
      if (!mentioned(w, fn->name, NULL, NULL) && !read_by_library(w, fn->name))
        find(w, (Finding){
                    .kind = DIAG_WARNING,
                    .at = fn,
                    .text = arena_printf(m->arena, "function `%s` of %s is never used", fn->name, k->name)});
    }
  }
}

/* ---- files ---- */

/* Whether the main file names something of the file src or of what that uses. */
static bool file_is_used(Walk *w, const Source *src, int depth) {
  Model *m = w->e->m;
  if (depth > m->files.n) return false;
  for (int i = 0; i < m->asts.n; i++) {
    const Ast *file = m->asts.v[i];
    for (int k = 0; k < file->nkid && m->files.v[i] == src; k++) {
      const Ast *d = file->kid[k];
      if ((d->kind == AST_FUNC || d->kind == AST_MODEL || d->kind == AST_DIM) &&
          mentioned(w, d->name, NULL, w->main))
        return true;
      const Dim *dim = d->kind == AST_DIM ? find_dim(m, d->name) : NULL;
      for (int n = 0; dim && n < dim->files.n; n++)
        if (dim->files.v[n] == w->main) return true; /* the main file gives its value */
    }
  }
  for (int i = 0; i < m->uses.n; i++)
    if (m->uses.v[i].at->src == src && file_is_used(w, m->uses.v[i].src, depth + 1)) return true;
  return false;
}

static void unused_files(Walk *w) {
  Model *m = w->e->m;
  for (int i = 0; i < m->uses.n; i++) {
    const Ast *at = m->uses.v[i].at;
    if (at->src != w->main) continue;
    for (int k = 0; k < i; k++)
      if (m->uses.v[k].at->src == w->main && m->uses.v[k].src == m->uses.v[i].src) {
        find(w, (Finding){.kind = DIAG_WARNING,
                          .at = at,
                          .text = arena_printf(m->arena, "`%s` is used twice", at->name),
                          .note = m->uses.v[k].at,
                          .note_text = "first used here"});
        at = NULL;
        break;
      }
    if (at && !file_is_used(w, m->uses.v[i].src, 0))
      find(w, (Finding){.kind = DIAG_WARNING,
                        .at = at,
                        .text = arena_printf(m->arena, "nothing of `%s` is used", at->name)});
  }
}

/* ---- all of it ---- */

static void report(Model *m, Diags *d, const Finding *f) {
  Loc *l = NEW(m->arena, Loc);
  *l = (Loc){f->at->src, f->at->line, f->at->col, NULL, NULL};
  diag_report(d, f->kind, l, "%s", f->text);
  if (!f->note) return;
  l = NEW(m->arena, Loc);
  *l = (Loc){f->note->src, f->note->line, f->note->col, NULL, NULL};
  diag_note(d, l, "%s", f->note_text);
}

void lint_names(Elab *e) {
  Model *m = e->m;
  m->lint = NEW(m->arena, Lint);
  Walk w = {.e = e, .out = m->lint, .main = m->files.v[0]};
  for (int i = 0; i < m->asts.n; i++) field_names(&w, m->asts.v[i], &w.fields);
  for (int i = 0; i < m->asts.n; i++)
    for (int k = 0; k < m->asts.v[i]->nkid; k++) {
      const Ast *a = m->asts.v[i]->kid[k];
      if (a->kind != AST_TRAIN || a == m->train) remember(&w, a, false);
    }
  for (int i = 0; i < m->given.n; i++) remember(&w, m->given.v[i], true);
  index_mentions(&w);
  for (int i = 0; i < m->asts.n; i++)
    for (int k = 0; k < m->asts.v[i]->nkid; k++) {
      const Ast *a = m->asts.v[i]->kid[k];
      Names outside = {0};
      if (a->kind == AST_FUNC) function(&w, a, &outside);
      if (a->kind == AST_MODEL) model(&w, a);
      for (int j = 0; a == m->train && j < a->kid[0]->nkid; j++)
        if (a->kid[0]->kid[j]->kind == AST_PROBE) probe(&w, a->kid[0]->kid[j]);
    }
  unused_dims(&w);
  unused_files(&w);
  unused_declarations(&w, m->asts.v[0]);
  if (m->lint->found.n) qsort(m->lint->found.v, (size_t)m->lint->found.n, sizeof(Finding), by_place);
  int errors = 0;
  for (int i = 0; i < m->lint->found.n; i++)
    if (m->lint->found.v[i].kind == DIAG_ERROR) {
      report(m, e->diags, &m->lint->found.v[i]);
      errors++;
    }
  if (errors) diag_throw(e->diags);
}

void lint_warn(Model *m, Diags *d) {
  for (int i = 0; !m->lint->said && i < m->lint->found.n; i++) report(m, d, &m->lint->found.v[i]);
  m->lint->said = true;
}

void lint_entries(Elab *e) {
  Model *m = e->m;
  Diags *unheard = diags_new(m->arena);
  bool said = m->lint->said;
  m->lint->said = m->linting = true;
  for (int i = 0; i < m->entries.n; i++)
    for (int train = 0; train < 2; train++) frontend_entry(m, unheard, m->entries.v[i]->name, train, false);
  m->lint->said = said;
  m->linting = false;
}

bool lint_covers(const Model *m, const char *state) {
  size_t n = strcspn(state, ".");
  for (int i = 0; i < m->lint->found.n; i++) {
    const char *field = m->lint->found.v[i].field;
    if (field && strlen(field) == n && !strncmp(field, state, n)) return true;
  }
  return false;
}
