/* Model lines and what belongs to them (lines.h). */
#define _GNU_SOURCE /* strverscmp */
#include "cli/lines.h"

#include <stdlib.h>
#include <string.h>

Lines *lines_new(Arena *a) {
  Lines *t = NEW(a, Lines);
  t->arena = a;
  vec_push(a, &t->v, ((ModelLine){.parent = -1}));
  return t;
}

Lines *lines_new_modules(Arena *a) {
  Lines *t = lines_new(a);
  t->modules = true;
  return t;
}

/* An instance, and those it is part of. */
static int find_module(Lines *t, const char *path, size_t n) {
  for (int i = 1; i < t->v.n; i++)
    if (strlen(t->v.v[i].path) == n && !memcmp(t->v.v[i].path, path, n)) return i;
  size_t dot = n;
  while (dot > 0 && path[dot - 1] != '.') dot--;
  ModelLine m = {.path = arena_strndup(t->arena, path, n),
                 .parent = dot ? find_module(t, path, dot - 1) : -1};
  vec_push(t->arena, &t->v, m);
  return t->v.n - 1;
}

int lines_parent(const Lines *t, int i) { return t->v.v[i].parent; }
const char *lines_kind(const Lines *t) { return t->modules ? "module" : "line"; }

int lines_width(const Lines *t) {
  int most = 28;
  for (int i = 0; t->modules && i < t->v.n; i++) {
    int n = (int)strlen(lines_name(t, i));
    if (n > most) most = n;
  }
  return most;
}

static bool in_library(const Loc *l) { return !l->src || !strncmp(l->src->path, "std/", 4); }

int lines_find(Lines *t, const Loc *loc) {
  const Loc *l = loc;
  if (t->modules) {
    while (l && !l->module) l = l->up;
    return l ? find_module(t, l->module, strlen(l->module)) : 0;
  }
  while (l && in_library(l) && l->up) l = l->up;
  if (!l || !l->src) return 0;
  for (int i = 1; i < t->v.n; i++)
    if (t->v.v[i].line == l->line && !strcmp(t->v.v[i].path, l->src->path)) return i;
  ModelLine m = {l->src->path, l->line, l->src, -1};
  vec_push(t->arena, &t->v, m);
  return t->v.n - 1;
}

const char *lines_name(const Lines *t, int i) {
  const ModelLine *m = &t->v.v[i];
  if (t->modules) return !m->path ? "(outside modules)" : *m->path ? m->path : "(model)";
  if (!m->path) return "(no line)";
  return arena_printf(t->arena, "%s:%d", path_tail(m->path), m->line);
}

const char *lines_text(const Lines *t, int i) {
  const ModelLine *m = &t->v.v[i];
  if (!m->src || !m->src->text) return "";
  const char *p = m->src->text;
  for (int n = 1; n < m->line; n++) {
    p = strchr(p, '\n');
    if (!p) return "";
    p++;
  }
  p += strspn(p, " \t");
  return arena_strndup(t->arena, p, strcspn(p, "\r\n"));
}

typedef struct {
  const ModelLine *m;
  int index;
} Ordered;

static int by_place(const void *x, const void *y) {
  const Ordered *a = x, *b = y;
  if (!a->m->path || !b->m->path) return (a->m->path != NULL) - (b->m->path != NULL);
  int c =
      a->m->src ? strcmp(a->m->path, b->m->path) : strverscmp(a->m->path, b->m->path); /* 0.9 before 0.10 */
  return c ? c : a->m->line - b->m->line;
}

int *lines_order(const Lines *t) {
  Ordered *o = NEWN(t->arena, Ordered, t->v.n);
  int *order = NEWN(t->arena, int, t->v.n);
  for (int i = 0; i < t->v.n; i++) o[i] = (Ordered){&t->v.v[i], i};
  qsort(o, (size_t)t->v.n, sizeof *o, by_place);
  for (int i = 0; i < t->v.n; i++) order[i] = o[i].index;
  return order;
}

const char *role_word(Role r) {
  return r == ROLE_GRADIENT ? "gradient" : r == ROLE_UPDATE ? "update" : "forward";
}

void program_lifetimes(const Program *p, int *first, int *last) {
  for (int b = 0; b < p->buf.n; b++) first[b] = last[b] = -2;
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].nbuf; i++) {
      int b = program_memory(p, p->kernel.v[k].buf[i]), from, to;
      if (p->buf.v[b].chunk) continue;
      program_chain(p, k, &from, &to);
      if (first[b] == -2) first[b] = from;
      last[b] = to;
    }
  for (int l = p->loop.n; l > 0; l--) { /* used inside of a loop and elsewhere: all the loop through */
    int from, to;
    program_loop_range(p, l, &from, &to);
    for (int b = 0; b < p->buf.n; b++) {
      if (first[b] < 0 || last[b] < from || first[b] > to || (first[b] >= from && last[b] <= to)) continue;
      if (first[b] > from) first[b] = from;
      if (last[b] < to) last[b] = to;
    }
  }
  for (int b = 0; b < p->buf.n; b++) {
    int r = program_root(p, b);
    if (p->buf.v[b].kind != BUF_TEMP) last[r] = p->kernel.n;
    if (p->buf.v[b].kind == BUF_INPUT) first[r] = -1;
  }
}

Val program_buf_val(const Program *p, int b) {
  const Buf *x = &p->buf.v[b];
  return x->kind == BUF_INPUT ? p->graph->inputs.v[x->input].val : x->val;
}

int64_t program_stored_at(const Buf *b, int64_t i) {
  if (!b->block) return i;
  const int64_t *d = b->shape.dim; /* [N][C/q][H][W][q] */
  int64_t x = i % d[3], y = i / d[3] % d[2], c = i / (d[3] * d[2]) % d[1], n = i / (d[3] * d[2] * d[1]),
          q = b->block;
  return (((n * (d[1] / q) + c / q) * d[2] + y) * d[3] + x) * q + c % q;
}

static Share *share_of(Share *out, int *n, int max, int line, Role role) {
  for (int i = 0; i < *n; i++)
    if (out[i].line == line && out[i].role == role) return &out[i];
  if (*n == max) return &out[max - 1];
  out[*n] = (Share){line, role, 0, 0};
  return &out[(*n)++];
}

int program_shares(const Program *p, int at, Lines *t, Share *out, int max) {
  const Kernel *k = &p->kernel.v[at];
  int n = 0, parts = kernel_parts(k, NULL);
  Share *own = share_of(out, &n, max, lines_find(t, k->loc), k->role);
  KernelPart *part = NEWN(t->arena, KernelPart, parts + 1);
  if (!parts) part[parts++] = (KernelPart){-1, true, k->flops, k->bytes};
  else kernel_parts(k, part);
  double flops = 0, bytes = 0;
  for (int i = 0; i < parts; i++) {
    int line = own->line;
    Role role = k->role;
    if (part[i].val >= 0) {
      const Node *v = g_node(p->graph, part[i].val);
      line = lines_find(t, v->loc);
      role = v->role;
    }
    Share *s = share_of(out, &n, max, line, role);
    s->flops += part[i].flops;
    s->bytes += part[i].bytes;
    flops += part[i].flops;
    bytes += part[i].bytes;
  }
  for (int i = 0; i < n; i++) { /* the kernel's own totals, divided in these proportions */
    out[i].flops = flops > 0 ? out[i].flops * k->flops / flops : i ? 0 : k->flops;
    out[i].bytes = bytes > 0 ? out[i].bytes * k->bytes / bytes : i ? 0 : k->bytes;
  }
  return n;
}
