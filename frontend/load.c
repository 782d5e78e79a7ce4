/* Loading a model file: reading it and what it uses, global names, dimensions, --set; the front door of the
   module. */
#include "frontend/lint.h"
#include "frontend/std.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_ENTRIES = 1000 };

/* ---- global names ---- */

static Global *globals_slot(Global *slot, int cap, const char *name) {
  size_t i = ((uintptr_t)name >> 4) * 0x9e3779b97f4a7c15u & (size_t)(cap - 1);
  while (slot[i].name && slot[i].name != name) i = (i + 1) & (size_t)(cap - 1);
  return &slot[i];
}

static Global *globals_add(Arena *a, Globals *g, const char *name) {
  if (g->n * 2 >= g->cap) {
    int cap = g->cap ? g->cap * 2 : 256;
    Global *slot = NEWN(a, Global, cap);
    for (int i = 0; i < g->cap; i++)
      if (g->slot[i].name) *globals_slot(slot, cap, g->slot[i].name) = g->slot[i];
    g->slot = slot;
    g->cap = cap;
  }
  Global *s = globals_slot(g->slot, g->cap, name);
  if (!s->name) g->n++;
  return s;
}

static void define(Elab *e, Globals *g, const Ast *decl) {
  Global *s = globals_add(e->m->arena, g, decl->name);
  if (s->name) {
    elab_report(e, NULL, decl, "`%s` is defined twice", decl->name);
    diag_note(e->diags, ast_loc(e, s->at), "first defined here");
    diag_throw(e->diags);
  }
  s->name = decl->name;
  s->at = decl;
  s->v = (Value){.kind = decl->kind == AST_FUNC ? V_FUNC : V_MODEL, .u.fn = {decl, NULL}};
}

/* Functions and entries of a model; a field may share a function's name. */
static void check_members(Elab *e, const Ast *model) {
  const Ast *body = model->kid[0];
  for (int i = 0; i < body->nkid; i++) {
    const Ast *a = body->kid[i], *first = a->kind == AST_FUNC ? ast_function(body, a->name) : a;
    if (first == a) continue;
    elab_report(e, NULL, a, "`%s` is defined twice in %s", a->name, model->name);
    diag_note(e->diags, ast_loc(e, first), "first defined here");
    diag_throw(e->diags);
  }
}

/* ---- files ---- */

static void add_dim(Elab *e, const Ast *decl, bool main_file) {
  Dim *d = find_dim(e->m, decl->name);
  if (d)
    for (int i = 0; i < d->files.n; i++)
      if (d->files.v[i] == decl->src)
        elab_error(e, NULL, decl, "dimension `%s` is declared twice", decl->name);
  if (!d) {
    Dim fresh = {.name = decl->name, .decl = decl};
    vec_push(e->m->arena, &e->m->dims, fresh);
    d = &e->m->dims.v[e->m->dims.n - 1];
  }
  if (main_file || !d->decl->kid[0]) d->decl = decl; /* the main file's value wins */
  vec_push(e->m->arena, &d->files, decl->src);
}

static const char *folder_of(Arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";
}

static Ast *load_file(Elab *e, Source *src, bool main_file);

static bool lies_under(const char *path, const char *folder) {
  char *full = folder ? realpath(folder, NULL) : NULL;
  size_t n = full ? strlen(full) : 0;
  bool under = full && !strncmp(path, full, n) && (n == 1 || path[n] == '/');
  free(full);
  return under;
}

/* The files are wrong by themselves, not what they say: another exit status. */
static const char *unread(Model *m) {
  if (m->opt.unread) *m->opt.unread = true;
  return strerror(errno);
}

/* A model may be a stranger's: what it uses is a file, beside it or of the library. NULL (errno ENOENT): there is none. */
static Source *read_used(Elab *e, const Ast *use, const char *path) {
  Model *m = e->m;
  struct stat at;
  char *full = realpath(path, NULL);
  if (!full || stat(full, &at)) {
    free(full);
    if (errno == ENOENT) return NULL;
    elab_error(e, NULL, use, "cannot read `%s`: %s", path, unread(m));
  }
  bool known = m->opt.use_anywhere || lies_under(full, folder_of(m->arena, m->files.v[0]->path)) ||
               lies_under(full, m->opt.std_dir);
  free(full);
  if (!S_ISREG(at.st_mode))
    unread(m), elab_error(e, NULL, use, "cannot read `%s`: it is no regular file", path);
  if (!known) {
    elab_report(e, NULL, use, "`%s` lies outside of the model's folder and of the library", path);
    diag_note(e->diags, NULL, "--allow-use reads it all the same");
    diag_throw(e->diags);
  }
  Source *src = source_read_most(m->arena, path, MODEL_BYTES);
  if (!src) elab_error(e, NULL, use, "cannot read `%s`: %s", path, unread(m));
  return src;
}

static void add_use(Elab *e, const Ast *use, const Source *src) {
  Used u = {use, src};
  vec_push(e->m->arena, &e->m->uses, u);
}

static void load_used(Elab *e, const Ast *use) {
  Model *m = e->m;
  if (m->files.n > 100) elab_error(e, NULL, use, "more than 100 files are used");
  const char *own = folder_of(m->arena, use->src->path), *dirs[2] = {own, m->opt.std_dir};
  Source *src = NULL;
  for (int i = 0; i < 2 && !src; i++) {
    if (!dirs[i] || (i == 1 && !strcmp(dirs[0], dirs[1]))) continue;
    const char *path =
        !strcmp(dirs[i], ".") ? use->name : arena_printf(m->arena, "%s/%s", dirs[i], use->name);
    if (use->name[0] == '/') path = use->name;
    for (int k = 0; k < m->files.n; k++)
      if (!strcmp(m->files.v[k]->path, path)) {
        add_use(e, use, m->files.v[k]);
        return;
      }
    src = read_used(e, use, path);
  }
  if (!src) {
    elab_report(e, NULL, use, "there is no file `%s`", use->name);
    diag_note(e->diags, NULL, "looked in %s%s%s", own, dirs[1] ? " and " : "", dirs[1] ? dirs[1] : "");
    diag_throw(e->diags);
  }
  add_use(e, use, src);
  load_file(e, src, false);
}

static Ast *load_file(Elab *e, Source *src, bool main_file) {
  Model *m = e->m;
  vec_push(m->arena, &m->files, src);
  Ast *file = parse_file(m->arena, e->diags, m->names, src);
  vec_push(m->arena, &m->asts, file);
  if (main_file && m->opt.symbols) symbols_file(e, file);
  for (int i = 0; i < file->nkid; i++)
    if (file->kid[i]->kind == AST_USE) load_used(e, file->kid[i]);
  for (int i = 0; i < file->nkid; i++) {
    Ast *k = file->kid[i];
    if (k->kind == AST_DIM) add_dim(e, k, main_file);
    if (k->kind == AST_FUNC || k->kind == AST_MODEL) define(e, &m->user, k);
    if (k->kind == AST_MODEL) check_members(e, k);
    if (k->kind == AST_TRAIN && main_file) {
      if (m->train) elab_error(e, NULL, k, "there is more than one train section");
      m->train = k;
    }
  }
  return file;
}

struct Library {
  Intern *names;
  Source *std;
  Globals globals;
};

Library *library_parse(Arena *a) {
  Library *l = NEW(a, Library);
  Diags *d = diags_new(a);
  jmp_buf env;
  *diags_trap(d) = &env;
  if (setjmp(env)) bug("the library: %s", diags_first(d));
  l->names = intern_new(a, NULL);
  l->std = NEWN(a, Source, std_nfile);
  Model m = {.arena = a, .names = l->names};
  Elab e = {.m = &m, .arena = a, .diags = d};
  for (int i = 0; i < std_nfile; i++) {
    l->std[i] = (Source){std_files[i].path, (const char *)std_files[i].text, std_files[i].len};
    Ast *file = parse_file(a, d, l->names, &l->std[i]);
    for (int k = 0; k < file->nkid; k++) define(&e, &l->globals, file->kid[k]);
  }
  return l;
}

/* ---- the main model ---- */

static bool has_entries(const Ast *decl) {
  for (int i = 0; i < decl->kid[0]->nkid; i++)
    if (decl->kid[0]->kid[i]->kind == AST_FUNC && name_is(decl->kid[0]->kid[i]->word, "entry")) return true;
  return false;
}

static void find_main(Elab *e, const Ast *file) {
  Model *m = e->m;
  for (int i = 0; i < file->nkid; i++)
    if (file->kid[i]->kind == AST_MODEL && has_entries(file->kid[i])) m->main = file->kid[i];
  if (m->train) {
    const Value *v = globals_find(&m->user, m->train->name);
    const char **names = NEWN(e->arena, const char *, m->user.cap + 1);
    int n = 0;
    for (int i = 0; i < m->user.cap; i++)
      if (m->user.slot[i].name && m->user.slot[i].v.kind == V_MODEL) names[n++] = m->user.slot[i].name;
    if (!v || v->kind != V_MODEL || !name_is(v->u.fn.decl->word, "model"))
      elab_error(e, NULL, m->train, "there is no model `%s` to train%s", m->train->name,
                 did_you_mean(e, m->train->name, names, n));
    m->main = v->u.fn.decl;
    for (int i = 1; i < m->train->nkid; i++) {
      if (m->train->kid[i]->kind != AST_ARG || !m->train->kid[i]->name)
        elab_error(e, NULL, m->train->kid[i], "settings of the trained model are given by name");
      vec_push(m->arena, &m->main_args, m->train->kid[i]);
    }
  }
  for (int i = 0; m->main && i < m->main->kid[0]->nkid; i++) {
    const Ast *k = m->main->kid[0]->kid[i];
    if (k->kind == AST_FUNC && name_is(k->word, "entry")) vec_push(m->arena, &m->entries, k);
    if (m->entries.n > MOST_ENTRIES) elab_error(e, NULL, k, "a model has at most %d entries", MOST_ENTRIES);
  }
}

static bool assigns(const Ast *a, const char *name) {
  if (!a) return false;
  if (a->kind == AST_DECL_STATE && a->name == name) return true;
  if (a->kind == AST_ASSIGN)
    for (int i = 1; i < a->nkid; i++)
      if (a->kid[i]->name == name) return true;
  if (a->kind == AST_BLOCK || a->kind == AST_IF || a->kind == AST_REPEAT)
    for (int i = 0; i < a->nkid; i++)
      if (assigns(a->kid[i], name)) return true;
  return false;
}

/* Names of extents in entries' argument types that nothing else gives a meaning are dimensions. */
static void add_implicit_dims(Elab *e) {
  Model *m = e->m;
  for (int i = 0; i < m->entries.n; i++)
    for (int p = 1; p < m->entries.v[i]->nkid; p++) {
      const Ast *type = m->entries.v[i]->kid[p]->kid[0];
      for (int k = 0; type && k < type->nkid; k++) {
        const Ast *x = type->kid[k];
        if (x->kind != AST_NAME || assigns(m->main->kid[0], x->name)) continue;
        bool param = false;
        for (int q = 1; q < m->main->nkid; q++) param = param || m->main->kid[q]->name == x->name;
        Dim *d = find_dim(m, x->name);
        if (param) continue;
        if (!d) {
          Ast *decl = NEW(m->arena, Ast);
          *decl = *x;
          decl->kind = AST_DIM;
          decl->kid = NEWN(m->arena, Ast *, 1);
          decl->nkid = 1;
          Dim fresh = {.name = x->name, .decl = decl};
          vec_push(m->arena, &m->dims, fresh);
          d = &m->dims.v[m->dims.n - 1];
        }
        vec_push(m->arena, &d->files, x->src);
      }
    }
}

/* ---- dimensions' values ---- */

static void set_dim(Dim *d, int64_t value, const Ast *given, const char *origin) {
  d->has = true;
  d->value = value;
  d->given = given;
  d->origin = origin;
}

static void dims_from_known(Elab *e) {
  Model *m = e->m;
  for (int i = 0; i < m->opt.nknown; i++) {
    const KnownShape *k = &m->opt.known[i];
    for (int n = 0; n < m->entries.n; n++)
      for (int p = 1; p < m->entries.v[n]->nkid; p++) {
        const Ast *param = m->entries.v[n]->kid[p], *type = param->kid[0];
        if (!name_is(param->name, k->name) || !type || type->nkid != k->shape.rank) continue;
        for (int x = 0; x < type->nkid; x++) {
          Dim *d = type->kid[x]->kind == AST_NAME ? find_dim(m, type->kid[x]->name) : NULL;
          if (d && !d->has)
            set_dim(d, k->shape.dim[x], NULL, arena_printf(m->arena, "comes from the input `%s`", k->name));
        }
      }
  }
}

static void dims_from_file(Elab *e, Frame *f) {
  for (int i = 0; i < e->m->dims.n; i++) {
    Dim *d = &e->m->dims.v[i];
    if (d->has || !d->decl->kid[0]) continue;
    Frame own = *f;
    own.src = d->decl->src;
    int64_t value = need_int(e, &own, d->decl->kid[0], eval(e, &own, d->decl->kid[0]), "a dimension");
    if (value < 1) elab_error(e, NULL, d->decl, "dimension `%s` is %lld", d->name, (long long)value);
    set_dim(d, value, d->decl, "is declared here");
  }
}

void derive_dims(Elab *e, Frame *f) {
  Model *m = e->m;
  const Ast *first = main_entry(e, f);
  for (int n = -1; n < m->entries.n; n++) {
    const Ast *entry = n < 0 ? first : m->entries.v[n];
    for (int p = 1; p < entry->nkid; p++) {
      const Ast *type = entry->kid[p]->kid[0];
      const Var *v = vars_find_var(&e->binds, entry->kid[p]->name);
      if (!type || !v || v->v.kind != V_TENSOR) continue;
      const Shape s = t_type(e, v->v.u.val)->shape;
      for (int x = 0; x < type->nkid && type->nkid == s.rank; x++) {
        Dim *d = type->kid[x]->kind == AST_NAME ? find_dim(m, type->kid[x]->name) : NULL;
        if (!d || d->has) continue;
        set_dim(d, s.dim[x], NULL, "comes from the data of the train section");
        e->watch->read(e, v);
      }
    }
  }
}

/* ---- --set ---- */

static const Ast *declaration_of(Elab *e, const Ast *call) {
  if (call->kid[0]->kind != AST_NAME) return NULL;
  const Value *v = globals_find(&e->m->user, call->kid[0]->name);
  if (!v) v = globals_find(&e->m->library, call->kid[0]->name);
  return v ? v->u.fn.decl : NULL;
}

static Ast *copy_ast(Arena *a, const Ast *from) {
  Ast *to = NEW(a, Ast);
  *to = *from;
  to->kid = NEWN(a, Ast *, from->nkid + 1);
  for (int i = 0; i < from->nkid; i++) to->kid[i] = from->kid[i] ? copy_ast(a, from->kid[i]) : NULL;
  return to;
}

/* Puts value where the dotted path leads inside an expression: arguments of calls. */
static void set_inside(Elab *e, Ast **slot, const char *path, Ast *value, const Ast *whole) {
  if (!path) {
    *slot = value;
    return;
  }
  Ast *call = *slot;
  const char *dot = strchr(path, '.');
  const char *name = intern(e->m->names, path, dot ? (size_t)(dot - path) : strlen(path));
  if (call->kind != AST_CALL)
    elab_error(e, NULL, whole, "`%.*s` is not a call, so it has no setting `%s`", call->end - call->begin,
               call->src->text + call->begin, name);
  const Ast *decl = declaration_of(e, call);
  int position = -1;
  const char **names = NEWN(e->arena, const char *, decl ? decl->nkid : 1);
  for (int i = 1; decl && i < decl->nkid; i++) {
    names[i - 1] = decl->kid[i]->name;
    if (decl->kid[i]->name == name) position = i;
  }
  if (position < 0)
    elab_error(e, NULL, whole, "%s has no setting `%s`%s", call->kid[0]->name ? call->kid[0]->name : "this",
               name, decl ? did_you_mean(e, name, names, decl->nkid - 1) : "");
  Ast *arg = NULL;
  for (int i = 1; i < call->nkid; i++)
    if (call->kid[i]->kind == AST_ARG && (call->kid[i]->name ? call->kid[i]->name == name : i == position))
      arg = call->kid[i];
  if (!arg) {
    arg = NEW(e->m->arena, Ast);
    *arg = *value;
    arg->kind = AST_ARG;
    arg->name = name;
    arg->nkid = 1;
    arg->kid = NEWN(e->m->arena, Ast *, 1);
    const Ast *given = decl->kid[position]->kid[1];
    if (dot && !given) elab_error(e, NULL, whole, "`%s` is not given in the file", name);
    arg->kid[0] = dot ? copy_ast(e->m->arena, given) : value; /* the declaration serves others too */
    Ast **kids = NEWN(e->m->arena, Ast *, call->nkid + 1);
    memcpy(kids, call->kid, sizeof *kids * (size_t)call->nkid);
    kids[call->nkid++] = arg;
    call->kid = kids;
  }
  set_inside(e, &arg->kid[0], dot ? dot + 1 : NULL, value, whole);
}

/* The file's number of steps would win over --set epochs=N. */
static void forget_steps(Elab *e, Ast *block) {
  const char *steps = word(e, "steps");
  for (int i = 0; i < block->nkid; i++) {
    if (block->kid[i]->kind != AST_ASSIGN || block->kid[i]->kid[1]->name != steps) continue;
    if (block->kid[i]->kid[0]->src != block->src) return; /* given by --set too: an error */
    memmove(block->kid + i, block->kid + i + 1, sizeof(Ast *) * (size_t)(--block->nkid - i));
    return;
  }
}

static bool set_train(Elab *e, const char *path, Ast *value) {
  Ast *block = e->m->train ? e->m->train->kid[0] : NULL;
  if (!block) return false;
  if (name_is(path, "epochs")) forget_steps(e, block);
  const char *dot = strchr(path, '.');
  const char *name = intern(e->m->names, path, dot ? (size_t)(dot - path) : strlen(path));
  for (int i = 0; i < block->nkid; i++) {
    Ast *k = block->kid[i];
    if (k->kind != AST_ASSIGN || k->kid[1]->name != name) continue;
    set_inside(e, &k->kid[0], dot ? dot + 1 : NULL, value, value);
    return true;
  }
  if (dot || !is_train_setting(name)) return false;
  Ast *k = NEW(e->m->arena, Ast), *target = NEW(e->m->arena, Ast);
  *target = *value;
  target->kind = AST_NAME;
  target->name = name;
  *k = *value;
  k->kind = AST_ASSIGN;
  k->nkid = 2;
  k->kid = NEWN(e->m->arena, Ast *, 2);
  k->kid[0] = value;
  k->kid[1] = target;
  Ast **kids = NEWN(e->m->arena, Ast *, block->nkid + 1);
  memcpy(kids, block->kid, sizeof *kids * (size_t)block->nkid);
  kids[block->nkid++] = k;
  block->kid = kids;
  return true;
}

static bool set_model(Elab *e, const char *name, Ast *value) {
  Model *m = e->m;
  for (int i = 1; m->main && i < m->main->nkid; i++) {
    if (m->main->kid[i]->name != name) continue;
    for (int k = 0; k < m->main_args.n; k++)
      if (m->main_args.v[k]->name == name) {
        m->main_args.v[k]->kid[0] = value;
        return true;
      }
    Ast *arg = NEW(m->arena, Ast);
    *arg = *value;
    arg->kind = AST_ARG;
    arg->name = name;
    arg->nkid = 1;
    arg->kid = NEWN(m->arena, Ast *, 1);
    arg->kid[0] = value;
    vec_push(m->arena, &m->main_args, arg);
    return true;
  }
  return false;
}

static _Noreturn void unknown_setting(Elab *e, const NameValue *s) {
  Model *m = e->m;
  VEC(const char *) names = {0};
  for (int i = 0; i < m->dims.n; i++) vec_push(e->arena, &names, m->dims.v[i].name);
  for (int i = 1; m->main && i < m->main->nkid; i++) vec_push(e->arena, &names, m->main->kid[i]->name);
  for (int i = 0; m->train && i < m->train->kid[0]->nkid; i++)
    if (m->train->kid[0]->kid[i]->kind == AST_ASSIGN)
      vec_push(e->arena, &names, m->train->kid[0]->kid[i]->kid[1]->name);
  for (int i = 0; m->train && train_setting_name(i); i++) vec_push(e->arena, &names, train_setting_name(i));
  const char *inner = NULL; /* optimizer.lr */
  for (int i = 0; m->train && i < m->train->kid[0]->nkid && !inner; i++) {
    const Ast *k = m->train->kid[0]->kid[i];
    const Ast *decl =
        k->kind == AST_ASSIGN && k->kid[0]->kind == AST_CALL ? declaration_of(e, k->kid[0]) : NULL;
    for (int j = 1; decl && j < decl->nkid; j++)
      if (name_is(decl->kid[j]->name, s->name))
        inner = arena_printf(e->arena, " (did you mean `%s.%s`?)", k->kid[1]->name, s->name);
  }
  diag_error(e->diags, NULL,
             "--set %s: there is no dimension, model parameter or recipe setting of this name%s", s->name,
             inner ? inner : did_you_mean(e, s->name, names.v, names.n));
  diag_throw(e->diags);
}

/* A later --set of the same name, or of what it lies in, is the one that counts. */
static void overridden(Elab *e, const NameValue *s, const Ast *value) {
  for (const NameValue *later = s + 1; later < e->m->opt.set + e->m->opt.nset; later++) {
    size_t n = strlen(later->name);
    if (strncmp(s->name, later->name, n) || (s->name[n] && s->name[n] != '.')) continue;
    diag_warning(e->diags, ast_loc(e, value), "--set %s=%s has no effect: --set %s=%s follows", s->name,
                 s->value, later->name, later->value);
    return;
  }
}

static void read_set(Elab *e, const NameValue *s) {
  Model *m = e->m;
  Source *src = NEW(m->arena, Source);
  *src = (Source){arena_printf(m->arena, "--set %s", s->name), arena_strdup(m->arena, s->value),
                  strlen(s->value)};
  Ast *value = parse_expression(m->arena, e->diags, m->names, src);
  overridden(e, s, value);
  vec_push(m->arena, &m->given, value);
}

static void apply_set(Elab *e, Frame *f, const NameValue *s, Ast *value) {
  Model *m = e->m;
  const char *name = word(e, s->name);
  Dim *d = find_dim(m, name);
  if (d) {
    int64_t n = need_int(e, f, value, eval(e, f, value), "a dimension");
    if (n < 1 || n > ((int64_t)1 << 32))
      elab_error(e, f, value, "dimension `%s` cannot be %lld", name, (long long)n);
    set_dim(d, n, NULL, "is given by --set");
    return;
  }
  bool plain = value->kind == AST_NAME && !name_is(value->name, "true") && !name_is(value->name, "false") &&
               !name_is(value->name, "none");
  if (plain && !find_dim(m, value->name)) value->kind = AST_STR; /* --set stem=narrow */
  if (set_model(e, name, value) || set_train(e, s->name, value)) return;
  Dim *batch =
      name_is(name, "batch") ? find_dim(m, word(e, "B")) : NULL; /* of a file without a train section */
  if (!batch) unknown_setting(e, s);
  int64_t n = need_int(e, f, value, eval(e, f, value), "the batch");
  if (n < 1 || n > ((int64_t)1 << 32)) elab_error(e, f, value, "the batch cannot be %lld", (long long)n);
  set_dim(batch, n, NULL, "is given by --set");
}

/* ---- the front door ---- */

void elab_start(Elab *e, Model *m, Diags *d, Graph *g, bool training) {
  *e = (Elab){.m = m,
              .arena = m->arena,
              .diags = d,
              .g = g,
              .training = training,
              .watch = &lint_watch,
              .fuel = 4000000};
}

static void read_recipe(Elab *e, Frame *f, const Ast *a, void *of) {
  (void)f, (void)a, (void)of;
  e->m->recipe = recipe_build(e);
}

static void load(Elab *e, const char *path) {
  Model *m = e->m;
  Source *src = m->opt.text ? NEW(m->arena, Source) : source_read_most(m->arena, path, MODEL_BYTES);
  if (m->opt.text) *src = (Source){path, m->opt.text, strlen(m->opt.text)};
  if (!src) {
    diag_error(e->diags, NULL, "cannot read %s: %s", path, unread(m));
    diag_throw(e->diags);
  }
  Ast *file = load_file(e, src, true);
  find_main(e, file);
  add_implicit_dims(e);
  Frame f = {.src = src, .what = path};
  for (int i = 0; i < m->opt.nset; i++) read_set(e, &m->opt.set[i]);
  lint_names(e); /* of the text as it is in the files */
  for (int i = 0; i < m->opt.nset; i++) apply_set(e, &f, &m->opt.set[i], m->given.v[i]);
  dims_from_known(e);
  dims_from_file(e, &f);
  if (m->train && !elab_attempt(e, &f, m->train, read_recipe, NULL) && !m->opt.symbols) diag_throw(e->diags);
  for (int i = 0; i < m->dims.n && m->opt.open_dims > 0; i++)
    if (!m->dims.v[i].has) set_dim(&m->dims.v[i], m->opt.open_dims, NULL, "stands for any number");
  if (!m->main) lint_warn(m, e->diags); /* else with the first graph */
}

Model *frontend_load(Arena *a, Diags *d, const char *path, const FrontendOptions *opt) {
  Model *m = NEW(a, Model);
  m->arena = a;
  if (opt) m->opt = *opt;
  const Library *l = m->opt.library ? m->opt.library : library_parse(a);
  m->names = intern_new(a, l->names);
  m->std = l->std;
  m->nstd = std_nfile;
  m->library = l->globals;
  Elab *e = NEW(a, Elab);
  elab_start(e, m, d, graph_new(a, "settings"), true);
  jmp_buf env, *saved = *diags_trap(d);
  *diags_trap(d) = &env;
  bool ok = false;
  if (!setjmp(env)) {
    load(e, path);
    ok = m->opt.symbols || !e->failed; /* an editor's text: the rest of it has errors too */
  }
  *diags_trap(d) = saved;
  return ok ? m : NULL;
}

const char *frontend_path(const Model *m) { return m->files.v[0]->path; }

uint64_t frontend_text_hash(const Model *m) {
  uint64_t h = 0;
  for (int i = 0; i < m->files.n; i++) h = hash_bytes(m->files.v[i]->text, strlen(m->files.v[i]->text), h);
  return h;
}

int frontend_entry_count(const Model *m) { return m->entries.n; }
const char *frontend_entry_name(const Model *m, int i) { return m->entries.v[i]->name; }
