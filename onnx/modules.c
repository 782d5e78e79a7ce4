/* A tree of modules from the names of states and the scopes of nodes. A module whose statements stand together, one after
   another, becomes a model with a function; the others only hold states, and their statements stand in a module around. */
#include "onnx/import.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int ox_next_ref(const char **p) {
  const char *at = *p ? strchr(*p, '\001') : NULL;
  if (!at) return -1;
  *p = strchr(at, '\002') + 1;
  return atoi(at + 1);
}

bool ox_is_below(const OxModule *m, const OxModule *top) {
  while (m && m != top) m = m->parent;
  return m != NULL;
}

typedef struct {
  Import *im;
  OxModule *root;
  VEC(OxModule *) all;
  OxNames *by_path;
  OxModule **of;
} Build;

static OxModule *module_at(Build *b, const char *path) {
  int i = ox_names_find(b->by_path, path);
  if (i >= 0) return b->all.v[i];
  const char *dot = strrchr(path, '.');
  OxModule *parent = dot ? module_at(b, arena_strndup(b->im->a, path, (size_t)(dot - path))) : b->root, *m = NEW(b->im->a, OxModule);
  *m = (OxModule){.path = path, .name = dot ? dot + 1 : path, .parent = parent, .first = -1};
  vec_push(b->im->a, &parent->kid, m);
  ox_names_set(b->by_path, path, b->all.n);
  vec_push(b->im->a, &b->all, m);
  return m;
}

/* The innermost module of the path that there is: states make modules, scopes only use them. */
static OxModule *module_of_scope(Build *b, const char *scope) {
  for (;;) {
    int i = ox_names_find(b->by_path, scope);
    if (i >= 0) return b->all.v[i];
    const char *dot = strrchr(scope, '.');
    if (!dot) return b->root;
    scope = arena_strndup(b->im->a, scope, (size_t)(dot - scope));
  }
}

static OxModule *common(OxModule *a, OxModule *b) {
  while (a && !ox_is_below(b, a)) a = a->parent;
  return a;
}

static void place_states(Build *b) {
  Import *im = b->im;
  for (int i = 0; i < im->value.n; i++) {
    OxValue *v = &im->value.v[i];
    const char *dot = v->state ? strrchr(v->state, '.') : NULL;
    if (!v->state) continue;
    v->home = dot ? module_at(b, arena_strndup(im->a, v->state, (size_t)(dot - v->state))) : b->root;
    vec_push(im->a, &v->home->state, i);
  }
  for (int i = 0; i < im->statement.n; i++)
    if (im->statement.v[i].made) module_at(b, im->statement.v[i].module)->made = im->statement.v[i].made;
}

/* Where nothing says: with the states it reads, else with what stands before and after. */
static void place_statements(Build *b) {
  Import *im = b->im;
  int n = im->statement.n;
  bool *said = arena_alloc(im->a, (size_t)n + 1);
  for (int i = 0; i < n; i++) {
    const OxStatement *s = &im->statement.v[i];
    const OxNode *node = s->node >= 0 ? &im->node.v[s->node] : NULL;
    OxModule *m = b->root;
    if (s->made) {
      m = module_at(b, s->module)->parent;
      said[i] = true;
      OxModule *scope = node && *node->scope ? module_of_scope(b, node->scope) : m;
      if (ox_is_below(m, scope) && !scope->made && scope != b->root) m = m->parent && ox_is_below(m, scope) ? m : scope;
    } else if (node && *node->scope) {
      m = module_of_scope(b, node->scope);
      while (m->made) m = m->parent;
      said[i] = true;
    } else {
      const char *p = s->text;
      for (int v; (v = ox_next_ref(&p)) >= 0;)
        if (im->value.v[v].home) {
          m = im->value.v[v].home;
          while (m->made) m = m->parent;
          said[i] = true;
        }
    }
    b->of[i] = m;
    if (node && node->class_ && m != b->root && !strcmp(m->path, node->scope)) m->class_ = node->class_;
    if (node && node->class_ && s->made) m->class_ = m->class_;
  }
  for (int i = 0; i < n; i++) {
    if (said[i]) continue;
    OxModule *before = i ? b->of[i - 1] : b->root, *after = b->root;
    for (int j = i + 1; j < n; j++)
      if (said[j]) {
        after = b->of[j];
        break;
      }
    b->of[i] = common(before, after);
  }
}

static bool numbered(const char *s) { return isdigit((unsigned char)*s); }

static int by_number(const void *x, const void *y) {
  const OxModule *a = *(OxModule *const *)x, *b = *(OxModule *const *)y;
  return atoi(a->name) - atoi(b->name);
}

static void note_value(Import *im, OxModule *m, int v, bool out) {
  for (int i = 0; i < (out ? m->out.n : m->in.n); i++)
    if ((out ? m->out.v[i] : m->in.v[i]) == v) return;
  if (out) vec_push(im->a, &m->out, v);
  else vec_push(im->a, &m->in, v);
}

/* What a module's function takes and gives: refs of its statements to values made elsewhere, and the other way. */
static void interfaces(Build *b, const int *made_at) {
  Import *im = b->im;
  for (int i = 0; i < im->statement.n; i++) {
    const char *p = im->statement.v[i].text;
    for (int v; (v = ox_next_ref(&p)) >= 0;) {
      const OxValue *value = &im->value.v[v];
      for (OxModule *m = b->of[i]; m != b->root; m = m->parent)
        if (m->whole && (value->state ? !ox_is_below(value->home, m) : made_at[v] < m->first)) note_value(im, m, v, false);
      if (made_at[v] < 0) continue;
      for (OxModule *m = b->of[made_at[v]]; m != b->root; m = m->parent)
        if (m->whole && i > m->last) note_value(im, m, v, true);
    }
  }
  for (int i = 0; i < im->output.n; i++) {
    int v = im->output.v[i];
    for (OxModule *m = made_at[v] < 0 ? b->root : b->of[made_at[v]]; m != b->root; m = m->parent)
      if (m->whole) note_value(im, m, v, true);
  }
}

OxModule *ox_modules(Import *im, OxModule ***of) {
  Build b = {.im = im, .root = NEW(im->a, OxModule), .by_path = ox_names_new(im->a)};
  *b.root = (OxModule){.path = "", .name = "", .first = -1, .whole = true};
  b.of = NEWN(im->a, OxModule *, im->statement.n + 1);
  place_states(&b);
  place_statements(&b);
  for (int i = 0; i < b.all.n; i++) {
    OxModule *m = b.all.v[i];
    m->list = m->kid.n > 0 && numbered(m->kid.v[0]->name);
    if (m->list) qsort(m->kid.v, (size_t)m->kid.n, sizeof *m->kid.v, by_number);
  }
  for (int i = 0; i < im->statement.n; i++)
    for (OxModule *m = b.of[i]; m; m = m->parent) {
      if (m->first < 0) m->first = i;
      m->last = i;
      m->count++;
    }
  int *made_at = NEWN(im->a, int, im->value.n + 1);
  for (int i = 0; i < im->value.n; i++) made_at[i] = -1;
  for (int i = 0; i < im->statement.n; i++)
    for (int k = 0; k < im->statement.v[i].nout; k++)
      if (im->statement.v[i].out[k] >= 0) made_at[im->statement.v[i].out[k]] = i;
  for (int i = 0; i < b.all.n; i++) {
    OxModule *m = b.all.v[i];
    m->whole = !m->made && !m->list && m->count > 0 && m->last - m->first + 1 == m->count;
  }
  b.root->first = 0;
  interfaces(&b, made_at);
  *of = b.of;
  return b.root;
}
