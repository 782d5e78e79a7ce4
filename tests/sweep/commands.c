/* jepac's commands in this process, and their files of tensors compared (sweep.h). */
#include "tests/sweep/sweep.h"

#include <math.h>
#include <string.h>

#include "cli/cli.h"
#include "runtime/safetensors.h"

Status case_jepac(Case *c, const char *fmt, ...) {
  enum { MOST = 64 };
  char *argv[MOST], text[2048];
  int n = 0;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  Cli *cli = NEW(c->a, Cli);
  cli->arena = c->a;
  cli->diags = diags_new(c->a);
  cli->words = argv;
  for (char *word = strtok(arena_strdup(c->a, text), " "); word && n < MOST - 1; word = strtok(NULL, " "))
    argv[n++] = word;
  argv[n] = NULL;
  const Command *k = command_find(argv[0]);
  if (!k) bug("sweep: no command %s", argv[0]);
  printf("$ jepac %s\n", text);
  Status s = options_parse(cli, command_table, k, n - 1, argv + 1);
  if (!s) s = k->run(cli);
  if (!s) s = options_unused(cli, k);
  if (!s && diags_errors(cli->diags)) s = ST_MODEL;
  diags_print(cli->diags, stdout);
  fflush(stdout);
  return s;
}

const char *case_said(Case *c) {
  enum { MOST = 500 };
  char text[MOST + 1] = "";
  fflush(stdout);
  FILE *f = fopen(arena_printf(c->a, "%s/said", c->folder), "r");
  if (!f) return "";
  if (fseek(f, -MOST, SEEK_END)) rewind(f);
  text[fread(text, 1, MOST, f)] = 0;
  fclose(f);
  return arena_strdup(c->a, text);
}

/* ---- files of tensors ---- */
typedef const char *Compare(Arena *a, const StTensor *x, const StTensor *y);

static const char *compare(Case *c, const char *a, const char *b, Compare *how) {
  Diags *d = diags_new(c->a);
  StFile *f = st_open(arena_printf(c->a, "%s/%s", c->folder, a), d),
         *g = st_open(arena_printf(c->a, "%s/%s", c->folder, b), d);
  const char *why = f && g ? NULL : arena_printf(c->a, "not written: %s", diags_first(d));
  for (int i = 0; !why && i < st_count(f); i++) {
    const StTensor *x = st_tensor(f, i), *y = st_find(g, x->name);
    if (!y || !shape_eq(&x->shape, &y->shape)) why = arena_printf(c->a, "%s is missing", x->name);
    else why = how(c->a, x, y);
  }
  if (!why && st_count(f) != st_count(g)) why = "other tensors";
  st_close(f);
  st_close(g);
  return why;
}

static const char *same(Arena *a, const StTensor *x, const StTensor *y) {
  bool equal = x->bytes == y->bytes && !memcmp(x->data, y->data, (size_t)x->bytes);
  return equal ? NULL : arena_printf(a, "other bits in %s", x->name);
}

const char *case_same(Case *c, const char *a, const char *b) { return compare(c, a, b, same); }

/* Single elements may differ: ties, cancelled sums. */
static const char *near(Arena *a, const StTensor *x, const StTensor *y) {
  int64_t n = shape_count(&x->shape), off = 0, odd = 0;
  double *p = NEWN(a, double, n + 1), *q = NEWN(a, double, n + 1), squares = 0, most = 0;
  tensors_to_f64(p, x->dt, x->data, n);
  tensors_to_f64(q, y->dt, y->data, n);
  for (int64_t i = 0; i < n; i++) squares += fabs(p[i]) < 1e30 ? p[i] * p[i] : 0;
  double scale = fmax(sqrt(squares / (double)n), 1e-3);
  for (int64_t i = 0; i < n; i++) {
    odd += isnan(p[i]) != isnan(q[i]);
    if (!(fabs(p[i]) < 1e30 && fabs(q[i]) < 1e30)) continue;
    off += fabs(p[i] - q[i]) > 1e-2 * scale;
    most = fmax(most, fabs(p[i] - q[i]));
  }
  if (off > 2 && off > n / 50) return arena_printf(a, "%s differs by up to %g of %g", x->name, most, scale);
  return odd > 1 && odd > n / 50 ? arena_printf(a, "NaN in one only: %s", x->name) : NULL;
}

const char *case_near(Case *c, const char *a, const char *b) { return compare(c, a, b, near); }
