#include "cli/profile.h"

#include "cli/explain.h"

#include <stdlib.h>
#include <string.h>

const double *profile_measure(Session *s) {
  enum { ROUNDS = 5 };
  session_profile(s, true);
  for (int i = 0; i < ROUNDS; i++) session_run(s, 0, session_plan(s)->nstep);
  session_profile(s, false);
  return session_step_min(s);
}

/* ---- by kernel ---- */
typedef struct {
  double seconds;
  const Step *step;
} Timed;

static int by_seconds(const void *a, const void *b) {
  double x = ((const Timed *)a)->seconds, y = ((const Timed *)b)->seconds;
  return x < y ? 1 : -(x > y);
}

static void print_target(FILE *f) {
  Target host = target_host();
  StrBuf b = {0};
  target_print(&host, &b);
  fprintf(f, "%s\n", b.s);
  sb_free(&b);
}

void profile_print_kernels(Cli *c, const Compiled *k, const double *seconds, FILE *f) {
  const Plan *p = k->plan;
  Timed *row = NEWN(c->arena, Timed, p->nstep + 1);
  double total = 0;
  for (int i = 0; i < p->nstep; i++) {
    row[i] = (Timed){seconds[i], &p->step[i]};
    total += seconds[i];
  }
  qsort(row, (size_t)p->nstep, sizeof *row, by_seconds);
  print_target(f);
  fprintf(f, "%-32s %-28s %9s %6s %9s %8s\n", "kernel", "line", "ms", "%", "GFLOP/s", "GB/s");
  for (int i = 0; i < p->nstep; i++)
    fprintf(f, "%-32.32s %-28s %9.4f %6.2f %9.1f %8.1f\n", row[i].step->name,
            row[i].step->where ? row[i].step->where : "", row[i].seconds * 1e3, 100 * row[i].seconds / total,
            row[i].step->flops / row[i].seconds * 1e-9, row[i].step->bytes / row[i].seconds * 1e-9);
  fprintf(f, "%-32s %-28s %9.4f\n\n", "all", "", total * 1e3);
}

/* ---- by module ---- */
typedef struct {
  double seconds[3], all, flops, bytes; /* seconds: by role */
} Spent;

static void spend(Spent *x, Role role, const Step *step, double seconds) {
  x->seconds[role] += seconds;
  x->all += seconds;
  x->flops += step->flops;
  x->bytes += step->bytes;
}

void profile_print_modules(Cli *c, const Compiled *k, const double *seconds, FILE *f) {
  Lines *t = lines_new_modules(c->arena);
  const Program *p = k->program;
  for (int i = 0; i < p->kernel.n; i++) lines_find(t, p->kernel.v[i].loc);
  Spent *row = NEWN(c->arena, Spent, t->v.n), total = {0};
  for (int i = 0; i < p->kernel.n; i++) {
    const Kernel *kernel = &p->kernel.v[i];
    const Step *step = &k->plan->step[i];
    for (int l = lines_find(t, kernel->loc); l >= 0; l = lines_parent(t, l))
      spend(&row[l], kernel->role, step, seconds[i]);
    spend(&total, kernel->role, step, seconds[i]);
  }
  int width = lines_width(t);
  const int *order = lines_order(t);
  print_target(f);
  fprintf(f, "%-*s %9s %6s %9s %9s %9s %9s %8s\n", width, "module", "ms", "%", "forward", "gradient",
          "update", "GFLOP/s", "GB/s");
  for (int i = 0; i <= t->v.n; i++) {
    const Spent *x = i < t->v.n ? &row[order[i]] : &total;
    if (!x->all) continue;
    fprintf(f, "%-*s %9.4f %6.2f", width, i < t->v.n ? lines_name(t, order[i]) : "all", x->all * 1e3,
            100 * x->all / total.all);
    for (int r = 0; r < 3; r++) fprintf(f, " %9.4f", x->seconds[r] * 1e3);
    fprintf(f, " %9.1f %8.1f\n", x->flops / x->all * 1e-9, x->bytes / x->all * 1e-9);
  }
  fprintf(f, "\n");
}

/* ---- flame graphs (Gregg, "The Flame Graph", CACM 2016) ---- */
typedef struct Flame {
  const char *name, *where;
  double seconds;
  VEC(struct Flame *) part;
} Flame;

static Flame *part_of(Arena *a, Flame *f, const char *name, size_t n) {
  for (int i = 0; i < f->part.n; i++)
    if (strlen(f->part.v[i]->name) == n && !memcmp(f->part.v[i]->name, name, n)) return f->part.v[i];
  Flame *new = NEW(a, Flame);
  new->name = arena_strndup(a, name, n);
  vec_push(a, &f->part, new);
  return new;
}

static Flame *flame_new(Arena *a, const Compiled *k, const double *seconds) {
  Lines *t = lines_new_modules(a);
  Flame *root = NEW(a, Flame);
  root->name = "step";
  for (int i = 0; i < k->program->kernel.n; i++) {
    const Kernel *kernel = &k->program->kernel.v[i];
    const char *role = role_word(kernel->role), *path = lines_name(t, lines_find(t, kernel->loc));
    Flame *f = root;
    f->seconds += seconds[i];
    (f = part_of(a, f, role, strlen(role)))->seconds += seconds[i];
    for (size_t n; *path; path += n + (path[n] == '.')) {
      n = strcspn(path, ".");
      (f = part_of(a, f, path, n))->seconds += seconds[i];
    }
    f = part_of(a, f, k->plan->step[i].name, strlen(k->plan->step[i].name));
    f->where = k->plan->step[i].where;
    f->seconds += seconds[i];
  }
  return root;
}

static void put_folded(StrBuf *b, const Flame *f, const char *stack, Arena *a) {
  stack = stack ? arena_printf(a, "%s;%s", stack, f->name) : f->name;
  if (!f->part.n) sb_printf(b, "%s %.0f\n", stack, f->seconds * 1e9);
  for (int i = 0; i < f->part.n; i++) put_folded(b, f->part.v[i], stack, a);
}

enum { WIDTH = 1200, ROW = 18, LETTER = 7 };

static int deepest(const Flame *f) {
  int most = 0;
  for (int i = 0; i < f->part.n; i++) {
    int d = deepest(f->part.v[i]);
    if (d > most) most = d;
  }
  return most + 1;
}

static void put_flame(StrBuf *b, const Flame *f, const Flame *root, double x, int depth) {
  static const char *const colour[] = {"#f4d35e", "#f0c24b", "#ee964b", "#f2ab5c", "#f7b267"};
  double w = WIDTH * f->seconds / root->seconds;
  int letters = (int)(w / LETTER) - 1;
  if (w < 0.3) return;
  sb_printf(b, "<g><title>");
  put_xml(b, f->name);
  if (f->where) sb_printf(b, " "), put_xml(b, f->where);
  sb_printf(b,
            ": %.4f ms, %.2f %%</title><rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" fill=\"%s\"/>",
            f->seconds * 1e3, 100 * f->seconds / root->seconds, x, depth * ROW, w, ROW - 1,
            colour[hash_bytes(f->name, strlen(f->name), 0) % 5]);
  if (letters > 2) {
    char text[200];
    snprintf(text, sizeof text, "%.*s", letters < 199 ? letters : 199, f->name);
    sb_printf(b, "<text x=\"%.2f\" y=\"%d\">", x + 3, depth * ROW + ROW - 5);
    put_xml(b, text);
    sb_printf(b, "</text>");
  }
  sb_printf(b, "</g>\n");
  for (int i = 0; i < f->part.n; x += WIDTH * f->part.v[i]->seconds / root->seconds, i++)
    put_flame(b, f->part.v[i], root, x, depth + 1);
}

Status profile_flame(Cli *c, const Compiled *k, const double *seconds, const char *path) {
  Flame *root = flame_new(c->arena, k, seconds);
  StrBuf b = {0};
  if (cli_has_suffix(path, ".svg")) {
    sb_printf(
        &b,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"monospace\" "
        "font-size=\"11\">\n",
        WIDTH, deepest(root) * ROW);
    put_flame(&b, root, root, 0, 0);
    sb_printf(&b, "</svg>\n");
  } else {
    put_folded(&b, root, NULL, c->arena);
  }
  Status s = cli_write_text(c, path, b.s, b.n);
  sb_free(&b);
  return s;
}
