/* The tree of modules as a model file: a model for each module, one for all that read the same, numbered modules as
   lists, and a chain of them as `repeat`. */
#include "onnx/import.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *text; /* without comments: what tells models apart */
  const char *name;
} Made;

typedef struct {
  Import *im;
  OxModule **of;
  StrBuf models;   /* declarations, innermost first */
  VEC(int) node;   /* of each of their lines */
  VEC(Made) made;
  OxNames *names;  /* of models */
  int *reads;      /* of each value by statements and results */
} Text;

/* A line of a function; node -1: none to tell of. */
typedef struct {
  const char *text;
  int node;
} Line;

typedef struct {
  Text *t;
  const OxModule *m;
  OxNames *taken;
  VEC(Line) line;
} Function;

static const char *print(Import *im, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *print(Import *im, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  char *s = arena_alloc(im->a, (size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, ap);
  va_end(ap);
  return s;
}

/* ---- names ---- */

/* Functions that rows hand to others, which a local of that name would hide. */
static const char *const hidden[] = {"argmax", "argmin", "cumsum", "cumprod", "softmax", "log_softmax", "mean", "max", "onnx_hardmax"};

/* "/layer1/layer1.0/conv1/Conv_output_0" -> conv */
static const char *base_name(Import *im, const char *name) {
  size_t n = strlen(name);
  const char *end = strstr(name, "_output_0");
  if (end) n = (size_t)(end - name);
  size_t from = n;
  while (from && name[from - 1] != '/' && name[from - 1] != ':') from--;
  char *s = arena_strndup(im->a, name + from, n - from);
  if (end)
    for (char *p = s; *p; p++) *p = (char)tolower((unsigned char)*p);
  size_t m = strlen(s); /* counters that exporters append tell nothing, and differ from block to block */
  while (m > 1 && (isdigit((unsigned char)s[m - 1]) || s[m - 1] == '_')) m--;
  s[m] = 0;
  char *to = s; /* ... and in between: split_1_part */
  for (const char *p = s; *p; p++) {
    size_t k = *p == '_' ? strspn(p + 1, "0123456789") : 0;
    if (k && (!p[k + 1] || p[k + 1] == '_') && p != s) p += k;
    else *to++ = *p;
  }
  *to = 0;
  const char *id = ox_identifier(im->a, *s ? s : "x");
  if (!strcmp(id, "val") || !strncmp(id, "getitem", 7)) return "y";
  return id;
}

static const char *unique(Import *im, OxNames *taken, const char *base) {
  const char *name = base;
  for (int k = 2; ox_names_find(taken, name) >= 0; k++) name = print(im, "%s_%d", base, k);
  ox_names_set(taken, name, 1);
  return name;
}

static const char *model_name(Text *t, const OxModule *m) {
  const char *from = m->class_ ? m->class_ : m->name;
  if (!m->class_ && isdigit((unsigned char)*from)) from = print(t->im, "%s_%s", m->parent->name, "item");
  char *s = arena_strdup(t->im->a, ox_identifier(t->im->a, from));
  int n = 0;
  for (int i = 0; s[i]; i++) /* block_item -> BlockItem */
    if (s[i] != '_') s[n++] = (char)(!i || s[i - 1] == '_' ? toupper((unsigned char)s[i]) : s[i]);
  s[n] = 0;
  return unique(t->im, t->names, n ? s : "Part");
}

static void function_begin(Function *f, Text *t, const OxModule *m) {
  *f = (Function){.t = t, .m = m, .taken = ox_names_new(t->im->a)};
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) ox_names_set(f->taken, hidden[i], 1);
  for (int i = 0; i < m->kid.n; i++) ox_names_set(f->taken, m->kid.v[i]->name, 1);
  for (int i = 0; i < m->state.n; i++) {
    const char *s = t->im->value.v[m->state.v[i]].state, *dot = strrchr(s, '.');
    ox_names_set(f->taken, dot ? dot + 1 : s, 1);
  }
  for (int i = 0; i < t->im->dim.n; i++) ox_names_set(f->taken, t->im->dim.v[i], 1);
}

/* A path below the module as it is read there: `layer1[0].conv1`. */
static const char *access(Function *f, const char *path) {
  size_t skip = strlen(f->m->path);
  const char *p = path + skip + (skip > 0), *s = "";
  while (*p) {
    size_t n = strcspn(p, ".");
    if (isdigit((unsigned char)*p)) s = print(f->t->im, "%s[%.*s]", s, (int)n, p);
    else s = print(f->t->im, "%s%s%.*s", s, *s ? "." : "", (int)n, p);
    p += n + (p[n] == '.');
  }
  return s;
}

static const char *name_in(Function *f, int v) {
  OxValue *value = &f->t->im->value.v[v];
  if (value->state && ox_is_below(value->home, f->m)) return access(f, value->state);
  return value->local ? value->local : "missing";
}

static const char *resolve(Function *f, const char *text) {
  StrBuf b = {0};
  const char *p = text;
  for (const char *at; (at = strchr(p, '\001')); ) {
    sb_put(&b, p, (size_t)(at - p));
    p = at;
    int v = ox_next_ref(&p);
    const char *s = name_in(f, v);
    sb_put(&b, s, strlen(s));
  }
  sb_put(&b, p, strlen(p));
  const char *s = arena_strdup(f->t->im->a, b.s ? b.s : "");
  sb_free(&b);
  return s;
}

static void put_line(Function *f, int node, const char *text) {
  Line l = {text, node};
  vec_push(f->t->im->a, &f->line, l);
}

static const char *new_local(Function *f, int v) {
  OxValue *value = &f->t->im->value.v[v];
  value->local = unique(f->t->im, f->taken, base_name(f->t->im, value->name));
  return value->local;
}

/* Blocks that are equal are written once: what they are given has one name in all. */
static const char *new_argument(Function *f, int v) {
  f->t->im->value.v[v].local = unique(f->t->im, f->taken, "x");
  return f->t->im->value.v[v].local;
}

static const char *targets(Function *f, const int *out, int n) {
  const char *s = "";
  for (int i = 0; i < n; i++) s = print(f->t->im, "%s%s%s", s, i ? ", " : "", out[i] < 0 ? "_" : new_local(f, out[i]));
  return s;
}

/* ---- the lines of a function ---- */

/* The outermost module below m with a function of its own, that has statement i. */
static OxModule *called(const Text *t, const OxModule *m, int i) {
  OxModule *found = NULL;
  for (OxModule *k = t->of[i]; k && k != m; k = k->parent)
    if (k->whole) found = k;
  return found;
}

static const char *arguments(Function *f, const OxModule *k, int but, const char *instead) {
  const char *s = "";
  for (int i = 0; i < k->in.n; i++)
    s = print(f->t->im, "%s%s%s", s, i ? ", " : "", k->in.v[i] == but ? instead : name_in(f, k->in.v[i]));
  return s;
}

/* How many of a list's modules, from k on, follow one another, each taking what the one before gives. */
static int chain(const Text *t, const OxModule *m, const OxModule *k, int *through) {
  const OxModule *list = k->parent;
  int n = 1;
  if (!list || !list->list || k->out.n != 1) return 1;
  for (const OxModule *a = k;; n++) {
    int at = -1;
    for (int i = 0; i < list->kid.n; i++)
      if (list->kid.v[i] == a) at = i;
    if (at < 0 || at + 1 >= list->kid.n || a->last + 1 >= t->im->statement.n) return n;
    const OxModule *b = called(t, m, a->last + 1);
    if (b != list->kid.v[at + 1] || atoi(b->name) != atoi(a->name) + 1 || b->out.n != 1 || b->in.n != a->in.n) return n;
    int passed = a->out.v[0], place = -1;
    if (t->reads[passed] < 1) return n;
    for (int i = 0; i < b->in.n; i++) {
      if (b->in.v[i] == passed) place = i;
      else if (b->in.v[i] != a->in.v[i]) return n;
    }
    if (place < 0 || (a != k && through[n - 1] != place)) return n;
    for (int i = b->last + 1; i < t->im->statement.n; i++) { /* nobody else reads what is passed on */
      const char *p = t->im->statement.v[i].text;
      for (int v; (v = ox_next_ref(&p)) >= 0;)
        if (v == passed) return n;
    }
    for (int i = 0; i < t->im->output.n; i++)
      if (t->im->output.v[i] == passed) return n;
    for (int i = 0; i < a->in.n; i++) /* and the chain's place is the same in all */
      if (a == k && i == place) through[0] = place;
    if (through[0] != place) return n;
    through[n] = place;
    if (n > 4000) return n;
    a = b;
  }
}

static int call_modules(Function *f, OxModule *k) {
  Text *t = f->t;
  int *through = NEWN(t->im->a, int, k->parent && k->parent->list ? k->parent->kid.n + 4 : 4);
  int n = chain(t, f->m, k, through);
  if (n < 2) {
    const char *args = arguments(f, k, -1, "");
    put_line(f, -1, print(t->im, "%s = %s(%s)", targets(f, k->out.v, k->out.n), access(f, k->path), args));
    return k->last;
  }
  int first = atoi(k->name), from = k->in.v[through[0]];
  OxModule *last = k;
  for (int i = 0; i < k->parent->kid.n; i++)
    if (k->parent->kid.v[i] == k) last = k->parent->kid.v[i + n - 1];
  const char *start = name_in(f, from), *item = unique(t->im, f->taken, "block");
  const char *var = new_local(f, last->out.v[0]);
  bool all = first == 0 && last == k->parent->kid.v[k->parent->kid.n - 1];
  const char *list = all ? access(f, k->parent->path) : print(t->im, "%s[%d:%d]", access(f, k->parent->path), first, first + n);
  put_line(f, -1, print(t->im, "%s = %s", var, start));
  put_line(f, -1, print(t->im, "repeat %s in %s { %s = %s(%s) }", item, list, var, item, arguments(f, k, from, var)));
  return last->last;
}

static void body(Function *f, int first, int last) {
  Import *im = f->t->im;
  for (int i = first; i <= last; i++) {
    OxModule *k = called(f->t, f->m, i);
    if (k) {
      i = call_modules(f, k);
      continue;
    }
    const OxStatement *s = &im->statement.v[i];
    const char *right = resolve(f, s->text);
    if (s->made) right = print(im, "%s(%s)", access(f, s->module), right);
    put_line(f, s->node, print(im, "%s = %s", targets(f, s->out, s->nout), right));
  }
}

/* ---- declarations ---- */

static const char *instance(Text *t, OxModule *m);

static const char *list_text(Text *t, OxModule *m) {
  const char *s = "", *one = NULL;
  bool equal = m->kid.n > 1;
  int next = 0;
  for (int i = 0; i < m->kid.n; i++, next++) {
    for (; next < atoi(m->kid.v[i]->name) && next < 10000; next++) {
      s = print(t->im, "%s%sIdentity()", s, *s ? ", " : "");
      equal = false;
    }
    const char *item = instance(t, m->kid.v[i]);
    if (!one) one = item;
    equal &= !strcmp(one, item);
    s = print(t->im, "%s%s%s", s, *s ? ", " : "", item);
  }
  if (equal) return print(t->im, "[%s for i in 0..%d]", one, m->kid.n);
  return print(t->im, "[%s]", s);
}

static const char *state_line(Text *t, int v) {
  const OxValue *o = &t->im->value.v[v];
  const char *dot = strrchr(o->state, '.'), *name = dot ? dot + 1 : o->state, *shape = "";
  const char *type = dtype_name(ox_elem(o->elem)->dt);
  for (int i = 0; i < o->rank; i++) shape = print(t->im, "%s%s%lld", shape, i ? ", " : "", (long long)o->dim[o->turned ? o->rank - 1 - i : i]);
  if (o->rank) shape = print(t->im, "[%s]", shape);
  const char *word = o->trained ? "param" : "buffer";
  if (strcmp(type, "f32")) return print(t->im, "%s %s: %s%s = zeros", word, name, type, shape);
  return o->rank ? print(t->im, "%s = %s%s = zeros", name, word, shape) : print(t->im, "%s %s = zeros", word, name);
}

/* What an instance of the module is made by: a layer, a list, a model of its own. */
static const char *instance(Text *t, OxModule *m);

static void fields(Text *t, const OxModule *m, const char **out) {
  StrBuf b = {0};
  for (int i = 0; i < m->kid.n; i++) sb_printf(&b, "  %s = %s\n", m->kid.v[i]->name, instance(t, m->kid.v[i]));
  for (int i = 0; i < m->state.n; i++) sb_printf(&b, "  %s\n", state_line(t, m->state.v[i]));
  *out = arena_strdup(t->im->a, b.s ? b.s : "");
  sb_free(&b);
}

static const char *comment(Text *t, const OxModule *m, int node) {
  if (node < 0) return "";
  const OxNode *n = &t->im->node.v[node];
  (void)m;
  StrBuf b = {0};
  for (const char *p = n->label; *p && b.n < 80; p++) sb_put(&b, (unsigned char)*p < 32 || (unsigned char)*p > 126 ? "?" : p, 1);
  const char *s = print(t->im, "%s %s", n->proto->op_type, b.s ? b.s : "");
  sb_free(&b);
  return s;
}

static void put_text(Text *t, StrBuf *b, const char *text, int node) {
  for (const char *p = text; (p = strchr(p, '\n')); p++) vec_push(t->im->a, &t->node, node);
  sb_put(b, text, strlen(text));
}

/* A function's text with and without the names of nodes. */
static void put_function(Text *t, StrBuf *b, const Function *f, bool comments) {
  for (int i = 0; i < f->line.n; i++) {
    const Line *l = &f->line.v[i];
    if (comments && l->node >= 0) put_text(t, b, print(t->im, "    %s  # %s\n", l->text, comment(t, f->m, l->node)), l->node);
    else if (comments) put_text(t, b, print(t->im, "    %s\n", l->text), -1);
    else sb_printf(b, "%s\n", l->text);
  }
}

static const char *joined(Function *f, const int *v, int n) {
  const char *s = "";
  for (int i = 0; i < n; i++) s = print(f->t->im, "%s%s%s", s, i ? ", " : "", name_in(f, v[i]));
  return s;
}

static const char *instance(Text *t, OxModule *m) {
  if (m->made) return m->made;
  if (m->list) return list_text(t, m);
  const char *inside;
  fields(t, m, &inside);
  Function f;
  function_begin(&f, t, m);
  StrBuf key = {0};
  const char *args = "", *results = "";
  if (m->whole) {
    for (int i = 0; i < m->in.n; i++) args = print(t->im, "%s%s%s", args, i ? ", " : "", new_argument(&f, m->in.v[i]));
    body(&f, m->first, m->last);
    results = joined(&f, m->out.v, m->out.n);
  }
  sb_printf(&key, "%s(%s)", inside, args);
  put_function(t, &key, &f, false);
  sb_printf(&key, "%s", results);
  const char *text = arena_strdup(t->im->a, key.s);
  sb_free(&key);
  for (int i = 0; i < t->made.n; i++)
    if (!strcmp(t->made.v[i].text, text)) return print(t->im, "%s()", t->made.v[i].name);
  Made made = {text, model_name(t, m)};
  vec_push(t->im->a, &t->made, made);
  put_text(t, &t->models, print(t->im, "model %s() {\n%s", made.name, inside), -1);
  if (m->whole) {
    put_text(t, &t->models, print(t->im, "  fn forward(%s) {\n", args), -1);
    put_function(t, &t->models, &f, true);
    put_text(t, &t->models, print(t->im, "    return %s\n  }\n", results), -1);
  }
  put_text(t, &t->models, "}\n\n", -1);
  return print(t->im, "%s()", made.name);
}

/* ---- the file ---- */

static const char *type_of(Text *t, const OxValue *v) {
  const char *s = "";
  for (int i = 0; i < v->rank; i++) {
    const char *extent = v->dim[i] < -1 ? t->im->dim.v[-2 - v->dim[i]] : print(t->im, "%lld", (long long)v->dim[i]);
    s = print(t->im, "%s%s%s", s, i ? ", " : "", extent);
  }
  const char *type = dtype_name(ox_elem(v->elem)->dt);
  return v->rank ? print(t->im, "%s[%s]", type, s) : type;
}

static void root(Text *t, OxModule *m) {
  Import *im = t->im;
  const char *inside, *args = "", *names = "", *name = unique(im, t->names, "Model"), *results = "", *notes = "";
  if (im->model->graph->name && *im->model->graph->name) {
    const char *id = ox_identifier(im->a, im->model->graph->name);
    if (strcmp(id, "main_graph") && strcmp(id, "torch_jit") && isalpha((unsigned char)*id)) {
      char *s = arena_strdup(im->a, id);
      s[0] = (char)toupper((unsigned char)*s);
      name = unique(im, t->names, s);
    }
  }
  fields(t, m, &inside);
  Function f;
  function_begin(&f, t, m);
  for (int i = 0; i < im->input.n; i++) {
    OxValue *v = &im->value.v[im->input.v[i]];
    if (!v->read) continue;
    new_local(&f, im->input.v[i]);
    args = print(im, "%s%s%s: %s", args, *args ? ", " : "", v->local, type_of(t, v));
    names = print(im, "%s%s%s", names, *names ? ", " : "", v->local);
    if (strcmp(v->local, v->name)) notes = print(im, "%s  # input %s is %s\n", notes, v->local, v->name);
  }
  body(&f, 0, im->statement.n - 1);
  OxNames *taken = ox_names_new(im->a);
  for (int i = 0; i < im->output.n; i++) {
    const OxValue *v = &im->value.v[im->output.v[i]];
    const char *out = unique(im, taken, ox_identifier(im->a, im->model->graph->output[i]->name)), *local = name_in(&f, im->output.v[i]);
    results = print(im, "%s%s%s%s%s", results, i ? ", " : "", strcmp(out, local) ? print(im, "%s = ", out) : "", "", local);
    (void)v;
    if (strcmp(out, im->model->graph->output[i]->name)) notes = print(im, "%s  # result %s is %s\n", notes, out, im->model->graph->output[i]->name);
  }
  StrBuf clean = {0};
  for (const char *p = notes; *p; p++) sb_put(&clean, *p != '\n' && ((unsigned char)*p < 32 || (unsigned char)*p > 126) ? "?" : p, 1);
  put_text(t, &t->models, print(im, "model %s() {\n%s%s  entry forward(%s) {\n", name, inside, clean.s ? clean.s : "", args), -1);
  sb_free(&clean);
  put_function(t, &t->models, &f, true);
  put_text(t, &t->models, print(im, "    return %s\n  }\n}\n", results), -1);
}

void ox_text(Import *im, StrBuf *b, int **line, int *lines) {
  static const char *const library[] = {"Linear", "Conv2d", "LayerNorm", "BatchNorm", "Embedding", "Sequential", "Identity", "ReLU", "ReLU6",
                                        "SiLU", "GELU", "Tanh", "Sigmoid", "Flatten", "Dropout", "MaxPool2d", "AvgPool2d", "MultiheadAttention"};
  Text t = {.im = im, .names = ox_names_new(im->a)};
  for (size_t i = 0; i < sizeof library / sizeof *library; i++) ox_names_set(t.names, library[i], 1);
  OxModule *m = ox_modules(im, &t.of);
  t.reads = NEWN(im->a, int, im->value.n + 1);
  for (int i = 0; i < im->statement.n; i++) {
    const char *p = im->statement.v[i].text;
    for (int v; (v = ox_next_ref(&p)) >= 0;) t.reads[v]++;
  }
  const char *file = strrchr(im->what->model, '/');
  StrBuf head = {0};
  sb_printf(&head, "# Imported from %s (opset %lld) by jepac import.\n", ox_identifier(im->a, file ? file + 1 : im->what->model), (long long)im->opset);
  bool dims = false;
  for (int i = 0; i < im->dim.n; i++)
    for (int k = 0; k < im->input.n; k++) {
      const OxValue *v = &im->value.v[im->input.v[k]];
      bool uses = false;
      for (int j = 0; v->read && j < v->rank; j++) uses |= v->dim[j] == -2 - i;
      if (!uses) continue;
      sb_printf(&head, "%s%s = 1", dims ? ", " : "dim ", im->dim.v[i]);
      dims = true;
      break;
    }
  put_text(&t, b, print(im, "%s%s", head.s, dims ? "\n\n" : "\n"), -1);
  sb_free(&head);
  root(&t, m);
  sb_put(b, t.models.s, t.models.n);
  sb_free(&t.models);
  *line = t.node.v;
  *lines = t.node.n;
}
