#include "frontend/symbols.h"

#include "frontend/elab.h"

#include <ctype.h>
#include <string.h>

typedef struct {
  const Ast *at;
  const char *text;
  const Ast *decl; /* of the module, model or function that the value is */
} Known;

typedef struct Scope {
  const Ast *owner;
  const struct Scope *outer;
} Scope;

typedef struct {
  Symbol symbol;
  Span same; /* of the declaration that all names which change together have */
  const Ast *name;
  const Scope *scope;
} Occurrence;

struct Symbols {
  Arena *arena;
  Elab *e; /* of the load: for names */
  const Ast *file;
  Known *known; /* a hash table by address */
  int nknown, cap;
  VEC(Occurrence) occurrence;
  bool walked;
};

Symbols *symbols_new(Arena *a) {
  Symbols *s = NEW(a, Symbols);
  s->arena = a;
  return s;
}

bool symbols_known(const Symbols *s) { return s->file != NULL; }

/* ---- filled by elaboration ---- */
void symbols_file(Elab *e, const Ast *file) {
  Symbols *s = e->m->opt.symbols;
  s->e = e;
  s->file = file;
}

static Known *known_slot(Known *table, int cap, const Ast *at) {
  size_t i = ((uintptr_t)at >> 4) * 0x9e3779b97f4a7c15u & (size_t)(cap - 1);
  while (table[i].at && table[i].at != at) i = (i + 1) & (size_t)(cap - 1);
  return &table[i];
}

static const Ast *declaration_of(Value v) {
  return v.kind == V_MODULE ? v.u.module->decl : v.kind == V_FUNC || v.kind == V_MODEL ? v.u.fn.decl : NULL;
}

void symbols_value(Elab *e, const Ast *at, Value v) {
  Symbols *s = e->m->opt.symbols;
  if (at->src != e->m->files.v[0]) return;
  if (s->nknown * 2 >= s->cap) {
    int cap = s->cap ? 2 * s->cap : 1024;
    Known *table = NEWN(s->arena, Known, cap);
    for (int i = 0; i < s->cap; i++)
      if (s->known[i].at) *known_slot(table, cap, s->known[i].at) = s->known[i];
    s->known = table;
    s->cap = cap;
  }
  Known *k = known_slot(s->known, s->cap, at);
  if (k->at) return; /* the first time counts */
  *k = (Known){at, value_text(e, v), declaration_of(v)};
  s->nknown++;
}

static const Known *known_of(const Symbols *s, const Ast *at) {
  const Known *k = s->cap ? known_slot(s->known, s->cap, at) : NULL;
  return k && k->at ? k : NULL;
}

/* ---- where names stand ---- */
static int offset_of(const Source *src, int line, int col) {
  const char *p = src->text;
  for (; line > 1 && p; line--) p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
  return p ? (int)(p - src->text) + col - 1 : 0;
}

static int skip_blanks(const char *text, int i) {
  while (isspace((unsigned char)text[i])) i++;
  return i;
}

static bool name_stands(const char *text, int i, const char *name) {
  size_t n = strlen(name);
  return !strncmp(text + i, name, n) && !isalnum((unsigned char)text[i + (int)n]) && text[i + (int)n] != '_';
}

/* The first place from i on where the name stands as a word. */
static int find_name(const char *text, int i, const char *name) {
  for (; text[i]; i++)
    if ((i == 0 || (!isalnum((unsigned char)text[i - 1]) && text[i - 1] != '_')) &&
        name_stands(text, i, name))
      return i;
  return 0;
}

static Span span_of(const Ast *a, const char *name) {
  int at;
  switch (a->kind) {
  case AST_REPEAT:
  case AST_UPDATE:
  case AST_COLLECT:
  case AST_METRIC:
  case AST_PROBE:
  case AST_OBJECTIVE:
  case AST_EACH:
  case AST_DECL_FIELD: /* the word of the statement stands before the name */
    at = find_name(a->src->text, a->begin + 1, name);
    break;
  case AST_COMP: at = find_name(a->src->text, a->kid[0]->end, name); break;
  case AST_DECL_STATE: /* param NAME, or NAME = param */
    at = skip_blanks(a->src->text, a->begin + (int)strlen(a->word));
    if (name_stands(a->src->text, at, name)) break;
    for (at = a->begin; at > 0 && !name_stands(a->src->text, at, name);) at--;
    break;
  default: at = offset_of(a->src, a->line, a->col);
  }
  return (Span){a->src, at, at + (int)strlen(name)};
}

/* ---- what names mean ---- */
/* The statement of a block that makes `name`: an assignment's target, a state, a loop's variable. */
static const Ast *made_in(const Ast *a, const char *name) {
  const Ast *found = NULL;
  if (!a) return NULL;
  if ((a->kind == AST_DECL_STATE || a->kind == AST_FUNC || a->kind == AST_DECL_FIELD ||
       a->kind == AST_REPEAT || a->kind == AST_COLLECT) &&
      a->name == name)
    return a;
  if (a->kind == AST_ASSIGN)
    for (int i = 1; i < a->nkid; i++)
      if (a->kid[i]->name == name) return a->kid[i];
  if (a->kind == AST_BLOCK || a->kind == AST_IF || a->kind == AST_REPEAT)
    for (int i = 0; i < a->nkid && !found; i++) found = made_in(a->kid[i], name);
  return found;
}

static const Ast *parameter(const Ast *decl, const char *name) {
  for (int i = 1; i < decl->nkid; i++)
    if (decl->kid[i]->kind == AST_PARAM && decl->kid[i]->name == name) return decl->kid[i];
  return NULL;
}

/* A field, parameter or function of a model, or a parameter or local value of a function. */
static const Ast *member(const Ast *decl, const char *name) {
  const Ast *p = parameter(decl, name);
  return p ? p : made_in(decl->kid[0], name);
}

static bool result_is_named(const Ast *result) { /* return NAME = VALUE */
  return result->name && result->kid[0]->begin != result->begin;
}

/* The result of an entry that `return NAME = ...` names. */
static const Ast *named_result(const Ast *a, const char *name) {
  const Ast *found = NULL;
  for (int i = 0; a && a->kind == AST_RETURN && i < a->nkid; i++)
    if (a->kid[i]->name == name && result_is_named(a->kid[i])) return a->kid[i];
  if (a && (a->kind == AST_BLOCK || a->kind == AST_IF || a->kind == AST_REPEAT))
    for (int i = 0; i < a->nkid && !found; i++) found = named_result(a->kid[i], name);
  return found;
}

static const Ast *result_of(const Ast *decl, const char *name) {
  const Ast *found = decl->kind == AST_FUNC ? named_result(decl->kid[0], name) : NULL;
  return found ? found : member(decl, name);
}

/* The first entry's argument of a name: `bind` gives one value to those of all entries. */
static const Ast *entry_argument(const Model *m, const char *name) {
  const Ast *found = NULL;
  for (int i = 0; i < m->entries.n && !found; i++) found = parameter(m->entries.v[i], name);
  return found;
}

static bool is_entry_argument(const Model *m, const Ast *decl) {
  for (int i = 0; i < m->entries.n; i++)
    if (parameter(m->entries.v[i], decl->name) == decl) return true;
  return false;
}

static const Ast *global(const Globals *g, const char *name) {
  for (int i = 0; i < g->cap; i++)
    if (g->slot[i].name == name) return g->slot[i].at;
  return NULL;
}

static const Ast *declared(const Symbols *s, const Scope *scope, const char *name) {
  const Model *m = s->e->m;
  for (; scope; scope = scope->outer) {
    const Ast *o = scope->owner, *found = NULL;
    if (o->kind == AST_COMP) found = o->name == name ? o : NULL;
    else if (o->kind == AST_EACH) found = o->name == name || o->word == name ? o : made_in(o->kid[0], name);
    else if (o->kind != AST_FILE) found = member(o, name);
    if (!found && o->kind == AST_TRAIN && m->main) {
      found = made_in(m->main->kid[0], name);
      if (found && found->kind != AST_FUNC) found = NULL;
      for (int i = 0; i < m->entries.n && !found; i++) found = named_result(m->entries.v[i]->kid[0], name);
    }
    if (found) return found;
  }
  for (int i = 0; i < m->dims.n; i++)
    if (m->dims.v[i].name == name) return m->dims.v[i].decl;
  const Ast *found = global(&m->user, name);
  return found ? found : global(&m->library, name);
}

/* The first line of a declaration, without what opens its body. */
static const char *signature(Symbols *s, const Ast *decl) {
  const char *text = decl->src->text;
  int begin = decl->begin;
  while (begin > 0 && text[begin - 1] != '\n') begin--;
  begin = skip_blanks(text, begin);
  int end = begin + (int)strcspn(text + begin, "{\n");
  while (end > begin && isspace((unsigned char)text[end - 1])) end--;
  return arena_strndup(s->arena, text + begin, (size_t)(end - begin));
}

static void describe(Symbols *s, Symbol *y, const Ast *at, const Ast *decl, const char *name) {
  const Known *k = known_of(s, at);
  if (!k && decl) k = known_of(s, decl);
  bool code = decl && (decl->kind == AST_FUNC || decl->kind == AST_MODEL);
  if (code) y->text = signature(s, decl);
  else if (k && k->decl && k->decl->kind == AST_MODEL)
    y->text = arena_printf(s->arena, "%s: %s", name, signature(s, k->decl));
  else if (k) y->text = arena_printf(s->arena, "%s: %s", name, k->text);
  else if (decl) y->text = signature(s, decl);
  if (decl && decl->kind == AST_DIM) {
    const Dim *d = find_dim(s->e->m, name);
    if (d && d->has) y->text = arena_printf(s->arena, "dim %s = %lld", name, (long long)d->value);
    else y->text = arena_printf(s->arena, "dim %s", name);
  }
  if (decl) {
    y->decl = span_of(decl, name);
    return;
  }
  const Builtin *b = builtin_find(name);
  if (!b) return;
  y->text = arena_printf(s->arena, "%s(%s)", name, b->params);
  y->doc = b->doc;
}

static void occur(Symbols *s, const Ast *a, const Scope *scope, const char *name, const Ast *decl) {
  Occurrence o = {.symbol = {.at = span_of(a, name)}, .name = a, .scope = scope};
  describe(s, &o.symbol, a, decl, name);
  const Model *m = s->e->m;
  const Ast *first =
      decl && decl->kind == AST_PARAM && is_entry_argument(m, decl) ? entry_argument(m, name) : decl;
  if (first) o.same = span_of(first, name);
  vec_push(s->arena, &s->occurrence, o);
}

static void walk(Symbols *s, const Ast *a, const Scope *scope);

static void walk_kids(Symbols *s, const Ast *a, int first, const Scope *scope) {
  for (int i = first; i < a->nkid; i++)
    if (a->kid[i]) walk(s, a->kid[i], scope);
}

/* The named arguments of a call belong to what is called. */
static void walk_call(Symbols *s, const Ast *a, const Scope *scope) {
  const Known *callee = known_of(s, a->kid[0]);
  const Ast *decl = callee ? callee->decl : NULL;
  if (decl && known_of(s, a) && decl->kind == AST_MODEL && a->kid[0]->kind != AST_NAME) decl = NULL;
  walk(s, a->kid[0], scope);
  for (int i = 1; i < a->nkid; i++) {
    const Ast *k = a->kid[i], *p = k->name && decl ? parameter(decl, k->name) : NULL;
    if (p) occur(s, k, scope, k->name, p);
    walk_kids(s, k, 0, scope);
  }
}

static void walk(Symbols *s, const Ast *a, const Scope *scope) {
  Scope *inner = NULL;
  switch (a->kind) {
  case AST_FILE:
  case AST_FUNC:
  case AST_MODEL:
  case AST_TRAIN:
  case AST_PROBE:
  case AST_OBJECTIVE:
  case AST_EACH:
  case AST_COMP:
    inner = NEW(s->arena, Scope);
    *inner = (Scope){a, scope};
    break;
  default: break;
  }
  const Known *of;
  switch (a->kind) {
  case AST_NAME: occur(s, a, scope, a->name, declared(s, scope, a->name)); break;
  case AST_FUNC:
  case AST_MODEL:
  case AST_DECL_STATE:
  case AST_DECL_FIELD:
  case AST_REPEAT:
  case AST_COLLECT:
  case AST_DIM:
  case AST_PARAM:
    if (a->name) occur(s, a, scope, a->name, a);
    break;
  case AST_COMP: occur(s, a, inner, a->name, a); break;
  case AST_EACH:
    occur(s, a, inner, a->word, a);
    occur(s, a, inner, a->name, a);
    break;
  case AST_UPDATE:
  case AST_TRAIN: occur(s, a, scope, a->name, declared(s, scope, a->name)); break;
  case AST_BIND:
    for (int i = 0; i < a->nkid; i++)
      occur(s, a->kid[i], scope, a->kid[i]->name, entry_argument(s->e->m, a->kid[i]->name));
    break;
  case AST_RETURN:
    for (int i = 0; i < a->nkid; i++)
      if (result_is_named(a->kid[i])) occur(s, a->kid[i], scope, a->kid[i]->name, a->kid[i]);
    break;
  case AST_FIELD:
    of = known_of(s, a->kid[0]);
    if (!of || !of->decl) {
      if (known_of(s, a)) occur(s, a, scope, a->name, NULL);
    } else if (of->decl->kind == AST_MODEL || of->decl->kind == AST_FUNC) {
      occur(s, a, scope, a->name, result_of(of->decl, a->name));
    }
    break;
  case AST_CALL: walk_call(s, a, scope); return;
  default: break;
  }
  walk_kids(s, a, 0, inner ? inner : scope);
}

static const Occurrence *occurrence_at(Symbols *s, int offset) {
  if (!s->file) return NULL;
  if (!s->walked) walk(s, s->file, NULL);
  s->walked = true;
  for (int i = 0; i < s->occurrence.n; i++) {
    const Occurrence *o = &s->occurrence.v[i];
    if (offset >= o->symbol.at.begin && offset <= o->symbol.at.end) return o;
  }
  return NULL;
}

bool symbols_at(Symbols *s, int offset, Symbol *out) {
  const Occurrence *o = occurrence_at(s, offset);
  if (o) *out = o->symbol;
  for (int i = 0; !o && s->file && i < s->e->m->uses.n; i++) { /* use "FILE" */
    const Used *u = &s->e->m->uses.v[i];
    if (u->at->src != s->file->src || offset < u->at->begin || offset > u->at->end) continue;
    *out =
        (Symbol){.at = {u->at->src, u->at->begin, u->at->end}, .decl = {u->src, 0, 0}, .text = u->src->path};
    return true;
  }
  return o != NULL;
}

int symbols_same(Symbols *s, int offset, Span **out) {
  const Occurrence *o = occurrence_at(s, offset);
  *out = NULL;
  if (!o || !o->same.src || o->same.src != s->file->src) return 0;
  const Span decl = o->same;
  VEC(Span) spans = {0};
  for (int i = 0; i < s->occurrence.n; i++) {
    const Symbol *y = &s->occurrence.v[i].symbol;
    const Span same = s->occurrence.v[i].same;
    bool repeated = false;
    if (same.src != decl.src || same.begin != decl.begin) continue;
    for (int k = 0; k < spans.n; k++) repeated |= spans.v[k].begin == y->at.begin;
    if (!repeated) vec_push(s->arena, &spans, y->at);
  }
  *out = spans.v;
  return spans.n;
}

/* ---- completion ---- */
typedef VEC(Candidate) Candidates;

static void add(Symbols *s, Candidates *c, const char *name, const char *detail) {
  for (int i = 0; i < c->n; i++)
    if (!strcmp(c->v[i].name, name)) return;
  Candidate k = {name, detail};
  vec_push(s->arena, c, k);
}

static void add_made(Symbols *s, Candidates *c, const Ast *a) {
  const Known *k;
  if (!a) return;
  if (a->kind == AST_ASSIGN)
    for (int i = 1; i < a->nkid; i++)
      add(s, c, a->kid[i]->name, (k = known_of(s, a->kid[i])) ? k->text : NULL);
  if ((a->kind == AST_DECL_STATE || a->kind == AST_DECL_FIELD || a->kind == AST_REPEAT) && a->name)
    add(s, c, a->name, (k = known_of(s, a)) ? k->text : NULL);
  if (a->kind == AST_FUNC) add(s, c, a->name, signature(s, a));
  if (a->kind == AST_BLOCK || a->kind == AST_IF || a->kind == AST_REPEAT)
    for (int i = 0; i < a->nkid; i++) add_made(s, c, a->kid[i]);
}

static void add_members(Symbols *s, Candidates *c, const Ast *decl) {
  const Known *k;
  for (int i = 1; i < decl->nkid; i++)
    if (decl->kid[i]->kind == AST_PARAM)
      add(s, c, decl->kid[i]->name, (k = known_of(s, decl->kid[i])) ? k->text : NULL);
  add_made(s, c, decl->kid[0]);
}

static void add_globals(Symbols *s, Candidates *c, const Globals *g) {
  for (int i = 0; i < g->cap; i++)
    if (g->slot[i].name) add(s, c, g->slot[i].name, signature(s, g->slot[i].at));
}

/* The declarations of the main file around a byte, the innermost last. */
static int around(const Ast *a, int offset, const Ast **out, int max) {
  int n = 0;
  for (int i = 0; i < a->nkid && max > 0; i++) {
    const Ast *k = a->kid[i];
    if (!k || !k->end || offset < k->begin || offset > k->end) continue;
    if (k->kind == AST_FUNC || k->kind == AST_MODEL || k->kind == AST_TRAIN || k->kind == AST_PROBE)
      out[n++] = k;
    return n + around(k, offset, out + n, max - n);
  }
  return n;
}

int symbols_candidates(Symbols *s, int offset, const char *of, Candidate **out) {
  static const char *const words[] = {"entry",  "fn",       "param",   "buffer",  "return", "if",     "else",
                                      "repeat", "scan",     "collect", "for",     "in",     "update", "model",
                                      "train",  "minimize", "metric",  "require", "use",    "dim"};
  enum { DEEP = 8, FEW = 64 };
  Candidates c = {0};
  const Ast *owner[DEEP];
  (void)occurrence_at(s, offset);
  *out = NULL;
  if (!s->file) return 0;
  int n = around(s->file, offset, owner, DEEP);
  if (of) { /* the members of the value that name had last */
    const Known *k = NULL;
    for (int i = 0; i < s->occurrence.n; i++) {
      const Occurrence *o = &s->occurrence.v[i];
      const Known *has = o->name->name && !strcmp(o->name->name, of) ? known_of(s, o->name) : NULL;
      if (has && has->decl) k = has;
    }
    if (k) add_members(s, &c, k->decl);
  } else {
    for (int i = n - 1; i >= 0; i--) add_members(s, &c, owner[i]);
    bool train = n && owner[0]->kind == AST_TRAIN;
    for (int i = 0; train && train_setting_name(i); i++) add(s, &c, train_setting_name(i), "setting");
    const Model *m = s->e->m;
    for (int i = 0; i < m->dims.n; i++) add(s, &c, m->dims.v[i].name, "dim");
    add_globals(s, &c, &m->user);
    add_globals(s, &c, &m->library);
    const char *names[FEW];
    int few = builtin_names(names, FEW);
    for (int i = 0; i < few; i++) add(s, &c, names[i], builtin_find(names[i])->doc);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) add(s, &c, words[i], NULL);
  }
  *out = c.v;
  return c.n;
}
