/* Nodes that are layers of the language's library, and the names of states. A layer's constants get the names that its
   module has for them, so that `fc.weight` of the file is the state of `fc = Linear(512, 10)`. */
#include "onnx/import.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const weight_bias[] = {"weight", "bias"};
static const char *const norm_parts[] = {"weight", "bias", "running_mean", "running_var"};

static const char *print(Import *im, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *print(Import *im, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char text[1024];
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return arena_strdup(im->a, text);
}

/* Operand i as a constant f32 tensor of that rank; NULL when it is none. */
static OxValue *weight(Import *im, const OxNode *n, int i, int rank) {
  if (!ox_has(n, i)) return NULL;
  OxValue *v = &im->value.v[n->in[i]];
  bool constant = v->tensor && (v->kind == OX_CONST || v->kind == OX_STATE);
  if (!constant || v->rank != rank || ox_elem(v->elem)->dt != DT_F32) return NULL;
  for (int k = 0; k < rank; k++)
    if (v->dim[k] < 1) return NULL;
  return v;
}

static int64_t ints(const OxNode *n, const char *name, size_t i, int64_t absent) {
  const AttributeProto *a = ox_attribute(n->proto, name);
  return a && i < a->n_ints ? a->ints[i] : absent;
}

static void record(Import *im, const OxNode *n, OxStatement *s, const char *model, const char *made, const char *const *part, int nvalue,
                   const int *value) {
  OxLayer l = {.statement = im->statement.n, .node = (int)(n - im->node.v), .model = model, .part = part, .nvalue = nvalue};
  for (int i = 0; i < nvalue; i++) {
    l.value[i] = value[i];
    if (value[i] >= 0) ox_wants_state(im, value[i]);
  }
  vec_push(im->a, &im->layer, l);
  s->made = made;
  s->module = "";
  s->nout = 1;
  s->out = NEWN(im->a, int, 1);
  s->out[0] = n->out[0];
}

static bool conv(Import *im, const OxNode *n, OxStatement *s) {
  OxValue *w = weight(im, n, 1, 4), *b = ox_has(n, 2) ? weight(im, n, 2, 1) : NULL;
  const AttributeProto *pad = ox_attribute(n->proto, "auto_pad");
  if (!w || (ox_has(n, 2) && !b) || (pad && pad->s.len && strncmp((char *)pad->s.data, "NOTSET", pad->s.len))) return false;
  int64_t stride = ints(n, "strides", 0, 1), dilation = ints(n, "dilations", 0, 1), groups = ox_int(n, "group", 1), p[4];
  for (size_t i = 0; i < 4; i++) p[i] = ints(n, "pads", i, 0);
  if (w->dim[2] != w->dim[3] || stride != ints(n, "strides", 1, 1) || dilation != ints(n, "dilations", 1, 1) || groups < 1 ||
      p[0] < 0 || p[1] < 0 || p[2] < 0 || p[3] < 0)
    return false;
  if (w->dim[0] % groups || (b && b->dim[0] != w->dim[0])) return false;
  const char *made = print(im, "Conv2d(%lld, %lld, %lld", (long long)(w->dim[1] * groups), (long long)w->dim[0], (long long)w->dim[2]);
  if (stride != 1) made = print(im, "%s, stride = %lld", made, (long long)stride);
  if (p[0] != p[2] || p[1] != p[3]) made = print(im, "%s, pad = [%lld, %lld, %lld, %lld]", made, (long long)p[0], (long long)p[2], (long long)p[1], (long long)p[3]);
  else if (p[0] != p[1]) made = print(im, "%s, pad = [%lld, %lld]", made, (long long)p[0], (long long)p[1]);
  else if (p[0]) made = print(im, "%s, pad = %lld", made, (long long)p[0]);
  if (dilation != 1) made = print(im, "%s, dilation = %lld", made, (long long)dilation);
  if (groups != 1) made = print(im, "%s, groups = %lld", made, (long long)groups);
  made = print(im, "%s%s)", made, b ? "" : ", bias = false");
  int value[] = {n->in[1], b ? n->in[2] : -1};
  s->text = ox_tensor(im, n, 0);
  record(im, n, s, "Conv2d", made, weight_bias, 2, value);
  return s->text != NULL;
}

static const char *linear_made(Import *im, int64_t inputs, int64_t outputs, bool bias) {
  return print(im, "Linear(%lld, %lld%s)", (long long)inputs, (long long)outputs, bias ? "" : ", bias = false");
}

/* A parameter that has a name of its own in a module, which is no layer. */
static bool elsewhere(const OxValue *w) {
  const char *dot = strrchr(w->name, '.');
  return dot && !strstr(w->name, "::") && strcmp(dot, ".weight") != 0 && !isdigit((unsigned char)dot[1]);
}

static bool linear(Import *im, const OxNode *n, OxStatement *s, bool gemm) {
  const OxNode *turn = gemm ? NULL : ox_maker(im, n, 1, "Transpose"), *from = turn && weight(im, turn, 0, 2) ? turn : n;
  int at = from == n ? 1 : 0;
  OxValue *w = weight(im, from, at, 2), *b = gemm && ox_has(n, 2) ? weight(im, n, 2, 1) : NULL;
  const AttributeProto *alpha = ox_attribute(n->proto, "alpha"), *beta = ox_attribute(n->proto, "beta");
  if (!w || !ox_has(n, 0) || ox_elem(im->value.v[n->in[0]].elem)->dt != DT_F32) return false;
  if (gemm && ((ox_has(n, 2) && !b) || ox_int(n, "transA", 0) || (alpha && alpha->f != 1) || (beta && beta->f != 1))) return false;
  if (!gemm && ox_rank(im, n, 0) < 2) return false;
  bool turned = from == n && (!gemm || !ox_int(n, "transB", 0));
  if (elsewhere(w)) return false;
  int64_t outputs = w->dim[turned], inputs = w->dim[!turned];
  if (b && b->dim[0] != outputs) return false;
  if (w->kind == OX_STATE && w->turned != turned) return false; /* another layer has it the other way */
  if (turned && n->in[1] < im->nuses && im->uses[n->in[1]] > 1) return false;
  w->turned = turned;
  int value[] = {from->in[at], b ? n->in[2] : -1};
  s->text = ox_tensor(im, n, 0);
  record(im, n, s, "Linear", linear_made(im, inputs, outputs, b != NULL), weight_bias, 2, value);
  return s->text != NULL;
}

/* A sum with what a MatMul's layer gave and a constant: that is its bias. */
static bool bias(Import *im, const OxNode *n, OxStatement *s) {
  for (int side = 0; side < 2; side++) {
    OxValue *b = weight(im, n, side, 1);
    int x = ox_has(n, 1 - side) ? n->in[1 - side] : -1;
    if (!b || x < 0 || x >= im->nuses || im->uses[x] != 1 || b->kind != OX_CONST) continue;
    for (int i = im->layer.n - 1; i >= 0 && i > im->layer.n - 8; i--) {
      OxLayer *l = &im->layer.v[i];
      OxStatement *t = &im->statement.v[l->statement];
      if (strcmp(l->model, "Linear") || l->value[1] >= 0 || !t->nout || t->out[0] != x || l->statement >= im->statement.n) continue;
      const OxValue *w = &im->value.v[l->value[0]];
      if (b->dim[0] != w->dim[w->turned]) continue;
      l->value[1] = n->in[side];
      ox_wants_state(im, n->in[side]);
      t->made = linear_made(im, w->dim[!w->turned], w->dim[w->turned], true);
      t->out[0] = n->out[0];
      s->text = NULL; /* no statement of its own */
      return true;
    }
  }
  return false;
}

static bool batch_norm(Import *im, const OxNode *n, OxStatement *s) {
  const AttributeProto *e = ox_attribute(n->proto, "epsilon");
  int value[4];
  for (int i = 1; i < 5; i++) {
    OxValue *v = weight(im, n, i, 1);
    if (!v || v->dim[0] != im->value.v[n->in[1]].dim[0]) return false;
    value[i - 1] = n->in[i];
  }
  if (ox_int(n, "training_mode", 0) || n->nout != 1 || im->opset < 9) return false;
  long long width = (long long)im->value.v[n->in[1]].dim[0];
  s->text = ox_tensor(im, n, 0);
  const char *eps = e && fabs(e->f - 1e-5) > 1e-9 ? print(im, ", eps = %s", ox_number(im->a, e->f)) : "";
  record(im, n, s, "BatchNorm", print(im, "BatchNorm(%lld%s)", width, eps), norm_parts, 4, value);
  return s->text != NULL;
}

static bool layer_norm(Import *im, const OxNode *n, OxStatement *s) {
  OxValue *w = weight(im, n, 1, 1), *b = weight(im, n, 2, 1);
  const AttributeProto *e = ox_attribute(n->proto, "epsilon");
  int64_t axis = ox_int(n, "axis", -1);
  int rank = ox_rank(im, n, 0);
  if (!w || !b || n->nout != 1 || w->dim[0] != b->dim[0] || !(axis == -1 || (rank > 0 && axis == rank - 1))) return false;
  int value[] = {n->in[1], n->in[2]};
  s->text = ox_tensor(im, n, 0);
  const char *eps = e && fabs(e->f - 1e-5) > 1e-9 ? print(im, ", eps = %s", ox_number(im->a, e->f)) : "";
  record(im, n, s, "LayerNorm", print(im, "LayerNorm(%lld%s)", (long long)w->dim[0], eps), weight_bias, 2, value);
  return s->text != NULL;
}

static bool embedding(Import *im, const OxNode *n, OxStatement *s) {
  OxValue *w = weight(im, n, 0, 2);
  const OxNode *clip = ox_rows(im, n);
  int rows = clip ? clip->in[0] : ox_has(n, 1) ? n->in[1] : -1;
  const OxValue *at = rows >= 0 ? &im->value.v[rows] : NULL;
  if (!w || !at || at->elem != 7 || ox_int(n, "axis", 0) || (at->kind != OX_INPUT && ox_known(im, rows))) return false;
  if (elsewhere(w) || (w->kind == OX_STATE && w->turned)) return false;
  int value[] = {n->in[0]};
  s->text = clip ? ox_tensor(im, clip, 0) : ox_tensor(im, n, 1);
  record(im, n, s, "Embedding", print(im, "Embedding(%lld, %lld)", (long long)w->dim[0], (long long)w->dim[1]), weight_bias, 1, value);
  return s->text != NULL;
}

bool ox_layer(Import *im, const OxNode *n, OxStatement *s) {
  const char *op = n->proto->op_type;
  if ((n->proto->domain && *n->proto->domain) || n->nout < 1 || n->out[0] < 0) return false;
  if (!strcmp(op, "Conv")) return conv(im, n, s);
  if (!strcmp(op, "Gemm") || !strcmp(op, "MatMul")) return linear(im, n, s, op[0] == 'G');
  if (!strcmp(op, "Add")) return bias(im, n, s);
  if (!strcmp(op, "BatchNormalization")) return batch_norm(im, n, s);
  if (!strcmp(op, "LayerNormalization")) return layer_norm(im, n, s);
  if (!strcmp(op, "Gather")) return embedding(im, n, s);
  return false;
}

/* ---- names of states ---- */

static bool digits(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isdigit((unsigned char)s[i])) return false;
  return n > 0 && n < 5;
}

/* Each part of a dotted path as a name of the language; numbers stay. */
static const char *path_of(Import *im, const char *name) {
  const char *path = "";
  while (*name) {
    size_t n = strcspn(name, ".");
    const char *part = arena_strndup(im->a, name, n);
    if (!digits(part, n)) part = ox_identifier(im->a, part);
    path = *path ? print(im, "%s.%s", path, part) : part;
    name += n + (name[n] == '.');
  }
  return *path ? path : "state";
}

static const char *without(Import *im, const char *name, const char *end) {
  size_t n = strlen(name), m = strlen(end);
  return n > m && !strcmp(name + n - m, end) ? arena_strndup(im->a, name, n - m) : NULL;
}

static bool below(const char *path, const char *folder) {
  size_t n = strlen(folder);
  return !n || (!strncmp(path, folder, n) && (!path[n] || path[n] == '.'));
}

/* The module that a layer's constants name, or the one that its node is in; "" when nothing says. */
static const char *layer_path(Import *im, const OxLayer *l) {
  for (int i = 0; i < l->nvalue; i++) {
    if (l->value[i] < 0) continue;
    const char *name = im->value.v[l->value[i]].name;
    for (int k = 0; k < 4; k++) {
      const char *p = without(im, name, print(im, ".%s", norm_parts[k]));
      if (p && !strstr(p, "::")) return path_of(im, p);
    }
  }
  const OxNode *n = &im->node.v[l->node];
  if (*n->scope) {
    const char *path = path_of(im, n->scope);
    for (int i = 0; i < im->value.n; i++) { /* a module that has others, or states, of its own is no layer */
      const OxValue *v = &im->value.v[i];
      if (!v->tensor || strncmp(v->name, n->scope, strlen(n->scope)) || v->name[strlen(n->scope)] != '.') continue;
      char *part = arena_strdup(im->a, l->model);
      for (char *p = part; *p; p++) *p = (char)tolower((unsigned char)*p);
      return print(im, "%s.%s", path, part);
    }
    return path;
  }
  const char *id = path_of(im, n->label);
  return strchr(id, '.') ? ox_identifier(im->a, n->label) : id;
}

/* Lists of modules have numbers for names, and nothing else beside them. */
static void settle_numbers(Import *im) {
  for (bool again = true; again;) {
    again = false;
    OxNames *folder = ox_names_new(im->a); /* 1: numbers, 2: names; as bits */
    for (int i = 0; i < im->value.n; i++) {
      const char *s = im->value.v[i].state;
      for (const char *p = s; p && *p;) {
        size_t n = strcspn(p, ".");
        const char *dir = arena_strndup(im->a, s, (size_t)(p - s));
        int had = ox_names_find(folder, dir);
        bool leaf = !p[n];
        ox_names_set(folder, dir, (had < 0 ? 0 : had) | (digits(p, n) && !leaf && p != s ? 1 : 2));
        p += n + (p[n] == '.');
      }
    }
    for (int i = 0; i < im->value.n; i++) {
      const char *s = im->value.v[i].state;
      for (const char *p = s; p && *p;) {
        size_t n = strcspn(p, ".");
        const char *dir = arena_strndup(im->a, s, (size_t)(p - s));
        if (digits(p, n) && ox_names_find(folder, dir) != 1) {
          im->value.v[i].state = s = print(im, "%sm%s", dir, p);
          again = true;
          break;
        }
        p += n + (p[n] == '.');
      }
    }
    if (!again) break;
    for (int i = 0; i < im->layer.n; i++) { /* the path follows its first state */
      OxLayer *l = &im->layer.v[i];
      if (!l->path) continue;
      const char *s = im->value.v[l->value[0]].state;
      l->path = arena_strndup(im->a, s, (size_t)(strrchr(s, '.') - s));
    }
  }
}

/* `features.2` -> `features_2`, for a name that is to go on. */
static const char *joined_tail(Import *im, const char *path) {
  size_t up = strlen(path), part;
  do {
    part = up;
    while (part && path[part - 1] != '.') part--;
    up = part ? part - 1 : 0;
  } while (part && isdigit((unsigned char)path[part]));
  char *s = arena_strdup(im->a, path);
  for (char *p = s + part; *p; p++)
    if (*p == '.') *p = '_';
  return s;
}

/* A layer has no place for more than its own states: others stand beside it, `conv.scale` as `conv_scale`. */
static const char *beside_layer(Import *im, const char *name) {
  for (int j = 0; j < im->layer.n; j++) {
    const char *path = im->layer.v[j].path;
    if (!path || !strcmp(path, name) || !below(name, path)) continue;
    const char *tail = joined_tail(im, path);
    return print(im, "%s_%s", tail, name + strlen(path) + 1);
  }
  return name;
}

void ox_name_states(Import *im) {
  OxNames *made = ox_names_new(im->a), *taken = ox_names_new(im->a); /* module -> layer; state -> value */
  for (int i = 0; i < im->layer.n; i++) {
    OxLayer *l = &im->layer.v[i];
    if (l->statement < 0) continue;
    OxStatement *s = &im->statement.v[l->statement];
    const char *path = layer_path(im, l), *first = im->value.v[l->value[0]].state;
    const char *want = first ? without(im, first, ".weight") : NULL;
    if (want) path = want;
    for (int k = 2; ox_names_find(made, path) >= 0; k++) {
      const OxLayer *m = &im->layer.v[ox_names_find(made, path)];
      if (!memcmp(m->value, l->value, sizeof m->value) && !strcmp(im->statement.v[m->statement].made, s->made)) break;
      path = print(im, "%s_%d", joined_tail(im, layer_path(im, l)), k);
    }
    l->path = path;
    ox_names_set(made, path, i);
    for (int k = 0; k < l->nvalue; k++) {
      if (l->value[k] < 0) continue;
      OxValue *v = &im->value.v[l->value[k]];
      const char *name = print(im, "%s.%s", path, l->part[k]);
      if (v->state && strcmp(v->state, name) && !strcmp(l->model, "Linear") && !v->turned && k == 0) { /* tied weights stay one state */
        const char *b = l->value[1] < 0 ? "" : print(im, " + %s", ox_ref(im, l->value[1]));
        s->text = print(im, "prim.dot_general(%s, %s, lhs_contract = rank(%s) - 1, rhs_contract = 1)%s", s->text, ox_ref(im, l->value[0]), s->text, b);
        s->made = NULL;
        l->statement = -1;
        l->path = s->module = NULL;
        break;
      }
      if (v->state && strcmp(v->state, name)) { /* a copy of its own */
        int copy = ox_new_value(im, v->name);
        v = &im->value.v[l->value[k]];
        im->value.v[copy] = *v;
        l->value[k] = copy;
        v = &im->value.v[copy];
      }
      v->state = name;
      v->trained = k < 2;
      ox_names_set(taken, name, 1);
    }
  }
  for (int i = 0; i < im->value.n; i++) {
    OxValue *v = &im->value.v[i];
    if (v->kind != OX_STATE || v->state || !v->read) continue;
    const char *name = path_of(im, v->name);
    size_t n = strlen(name), from = n;
    while (from && name[from - 1] != '.') from--;
    if (digits(name + from, n - from)) name = print(im, "%.*sv%s", (int)from, name, name + from);
    name = beside_layer(im, name);
    const char *base = name;
    bool module = true;
    for (int k = 2; module || ox_names_find(taken, name) >= 0; k++) { /* neither a state nor a module */
      module = false;
      for (int j = 0; j < im->layer.n && !module; j++) module = im->layer.v[j].path && below(im->layer.v[j].path, name);
      for (int j = 0; j < im->value.n && !module; j++) module = j != i && im->value.v[j].state && below(im->value.v[j].state, name);
      if (!module && ox_names_find(taken, name) < 0) break;
      name = print(im, "%s_%d", base, k);
    }
    v->state = name;
    v->trained = dtype_is_float(ox_elem(v->elem)->dt) && v->made_by < 0 && !ox_is_mask(im, v);
    if (strstr(name, "running_mean") || strstr(name, "running_var")) v->trained = false;
    ox_names_set(taken, name, 1);
  }
  settle_numbers(im);
  for (int i = 0; i < im->layer.n; i++)
    if (im->layer.v[i].path && im->layer.v[i].statement >= 0) im->statement.v[im->layer.v[i].statement].module = im->layer.v[i].path;
}
