/* jepac ckpt: what a checkpoint or tensor file holds, where two differ first, and the same tensors in another
   form: .safetensors under PyTorch's names, or a folder of .npy files, both ways. */
#include "cli/cli.h"
#include "runtime/checkpoint.h"
#include "runtime/npy.h"
#include "runtime/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  const char *path;
  VEC(StTensor) t;
  StFile *file; /* the tensors are its mapping; closed when the command ends */
} Tensors;

static int by_name(const void *x, const void *y) {
  return strcmp(((const StTensor *)x)->name, ((const StTensor *)y)->name);
}

/* A folder of .npy files: the tensor a.b.c is a.b.c.npy. */
static Status open_npy_folder(Cli *c, const char *path, Tensors *out) {
  DIR *d = opendir(path);
  if (!d) return cli_fail(c, ST_FILE, "cannot read %s: %s", path, strerror(errno));
  Status s = ST_OK;
  for (struct dirent *e; !s && (e = readdir(d));) {
    if (!cli_has_suffix(e->d_name, ".npy")) continue;
    StTensor t;
    s = npy_read(arena_printf(c->arena, "%s/%s", path, e->d_name), &t, c->arena, c->diags);
    t.name = arena_strndup(c->arena, e->d_name, strlen(e->d_name) - 4);
    if (!s) vec_push(c->arena, &out->t, t);
  }
  closedir(d);
  if (!s && !out->t.n)
    s = cli_fail(c, ST_FILE, "%s holds neither %s nor .npy files", path, checkpoint_files[0]);
  return s;
}

static Status open_tensors(Cli *c, const char *path, Tensors *out) {
  *out = (Tensors){.path = path};
  const char *file = path;
  Status s = ST_OK;
  if (file_is_folder(path)) {
    file = arena_printf(c->arena, "%s/%s", path, checkpoint_files[0]);
    if (access(file, F_OK)) s = open_npy_folder(c, path, out);
  }
  if (!s && !out->t.n && cli_has_suffix(file, ".npy")) {
    StTensor t;
    if ((s = npy_read(file, &t, c->arena, c->diags))) return s;
    t.name = "data";
    vec_push(c->arena, &out->t, t);
  } else if (!s && !out->t.n) {
    if ((s = cli_check_readable(c, file, "tensor file"))) return s;
    StFile *f = out->file = st_open(file, c->diags);
    if (!f) return ST_FILE;
    for (int i = 0; i < st_count(f); i++) vec_push(c->arena, &out->t, *st_tensor(f, i));
  }
  if (!s && out->t.n) qsort(out->t.v, (size_t)out->t.n, sizeof *out->t.v, by_name);
  return s;
}

typedef struct {
  double min, max, mean, std;
  int64_t bad; /* NaN and infinities */
} Stats;

static Stats stats(const double *v, int64_t n) {
  Stats s = {INFINITY, -INFINITY, 0, 0, 0};
  double m2 = 0, count = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(v[i])) {
      s.bad++;
      continue;
    }
    s.min = fmin(s.min, v[i]);
    s.max = fmax(s.max, v[i]);
    double d = v[i] - s.mean;
    s.mean += d / ++count;
    m2 += d * (v[i] - s.mean);
  }
  s.std = count > 0 ? sqrt(m2 / count) : NAN;
  if (count == 0) s.min = s.max = s.mean = NAN;
  return s;
}

static double *values(Arena *a, const StTensor *t) {
  int64_t n = shape_count(&t->shape);
  double *v = NEWN(a, double, n + 1);
  tensors_to_f64(v, t->dt, t->data, n);
  return v;
}

static Status list(Cli *c, Tensors *open) {
  Status s = open_tensors(c, c->opt.arg[1], &open[0]);
  if (s) return s;
  const Tensors t = open[0];
  int64_t bytes = 0, elements = 0;
  printf("%-44s %-18s %12s %12s %12s %12s\n", "tensor", "type", "min", "max", "mean", "std");
  for (int i = 0; i < t.t.n; i++) {
    const StTensor *x = &t.t.v[i];
    Arena *a = arena_new();
    Stats st = stats(values(a, x), shape_count(&x->shape));
    char type[128];
    printf("%-44s %-18s %12.5g %12.5g %12.5g %12.5g", x->name, type_str(x->dt, &x->shape, type), st.min,
           st.max, st.mean, st.std);
    if (st.bad) printf("  %lld not finite", (long long)st.bad);
    printf("\n");
    bytes += x->bytes;
    elements += shape_count(&x->shape);
    arena_free(a);
  }
  printf("%d tensors, %lld elements, %s\n", t.t.n, (long long)elements, human_bytes(c->arena, bytes));
  return ST_OK;
}

static void print_difference(const StTensor *x, const StTensor *y) {
  Arena *a = arena_new();
  char tx[128], ty[128];
  if (!shape_eq(&x->shape, &y->shape) || x->dt != y->dt) {
    printf("%s: %s against %s\n", x->name, type_str(x->dt, &x->shape, tx), type_str(y->dt, &y->shape, ty));
  } else {
    int64_t n = shape_count(&x->shape), size = dtype_size(x->dt), differ = 0, first = -1;
    double *u = values(a, x), *v = values(a, y), most = 0, scale = 0;
    for (int64_t i = 0; i < n; i++) {
      scale = fmax(scale, fabs(u[i]));
      if (!memcmp((const char *)x->data + i * size, (const char *)y->data + i * size, (size_t)size)) continue;
      if (first < 0) first = i;
      differ++;
      double d = fabs(u[i] - v[i]);
      most = isnan(d) ? INFINITY : fmax(most, d);
    }
    Stats s = stats(u, n), t = stats(v, n);
    printf("%s %s: %lld of %lld elements differ, by %.4g at most (%.3g of the largest); first [%lld]: %.9g "
           "against %.9g; "
           "mean %.6g against %.6g, std %.6g against %.6g\n",
           x->name, type_str(x->dt, &x->shape, tx), (long long)differ, (long long)n, most,
           scale > 0 ? most / scale : most, (long long)first, first < 0 ? 0 : u[first],
           first < 0 ? 0 : v[first], s.mean, t.mean, s.std, t.std);
  }
  arena_free(a);
}

static Status diff(Cli *c, Tensors *open) {
  Status s = open_tensors(c, c->opt.arg[1], &open[0]);
  if (s || (s = open_tensors(c, c->opt.arg[2], &open[1]))) return s;
  const Tensors x = open[0], y = open[1];
  int differ = 0, shown = 0, most = OPT(c, verbose) ? INT32_MAX : 1;
  for (int i = 0, j = 0; i < x.t.n || j < y.t.n;) {
    int order = i == x.t.n ? 1 : j == y.t.n ? -1 : strcmp(x.t.v[i].name, y.t.v[j].name);
    const StTensor *u = &x.t.v[i], *v = &y.t.v[j];
    if (order) {
      if (shown++ < most)
        printf("%s: only in %s\n", order < 0 ? u->name : v->name, order < 0 ? x.path : y.path);
      differ++;
    } else if (u->dt != v->dt || !shape_eq(&u->shape, &v->shape) ||
               memcmp(u->data, v->data, (size_t)u->bytes)) {
      if (shown++ < most) print_difference(u, v);
      differ++;
    }
    i += order <= 0;
    j += order >= 0;
  }
  if (!differ) printf("equal: %d tensors\n", x.t.n);
  else printf("%d tensors differ%s\n", differ, differ > shown || shown > most ? " (-v shows all)" : "");
  return differ ? ST_VERIFY : ST_OK;
}

/* ---- convert ---- */
typedef struct {
  const char *from, *to; /* to NULL: left out */
} Rule;
typedef VEC(Rule) Rules;

/* OLD=NEW,OLD=- */
static Status read_rules(Cli *c, const char *text, Rules *out) {
  for (const char *p = text; p && *p;) {
    size_t len = strcspn(p, ","), eq = strcspn(p, "=");
    if (eq == 0 || eq >= len)
      return cli_fail(c, ST_USAGE, "--rename needs rules such as OLD=NEW,OLD=-, not '%.*s'", (int)len, p);
    Rule r = {arena_strndup(c->arena, p, eq), arena_strndup(c->arena, p + eq + 1, len - eq - 1)};
    if (!strcmp(r.to, "-")) r.to = NULL;
    vec_push(c->arena, out, r);
    p += len + (p[len] == ',');
  }
  return ST_OK;
}

/* NULL: the tensor is left out. used[i]: rule i has been of use. */
static const char *renamed(Cli *c, const Rules *rules, const char *name, bool *used) {
  for (int i = 0; i < rules->n; i++) {
    const Rule *r = &rules->v[i];
    size_t n = strlen(r->from);
    if (strncmp(name, r->from, n)) continue;
    used[i] = true;
    return r->to ? arena_printf(c->arena, "%s%s", r->to, name + n) : NULL;
  }
  return name;
}

/* What the options leave of the tensors, under its new names. */
static Status choose(Cli *c, Tensors *t) {
  const char *only = OPT(c, only) ? OPT(c, only) : "", *prefix = OPT(c, prefix) ? OPT(c, prefix) : "";
  size_t cut = strlen(only);
  int n = 0;
  Rules rules = {0};
  Status s = read_rules(c, OPT(c, rename), &rules);
  if (s) return s;
  bool *used = NEWN(c->arena, bool, rules.n + 1);
  for (int i = 0; i < t->t.n; i++) {
    StTensor x = t->t.v[i];
    if (strncmp(x.name, only, cut) || (OPT(c, no_optimizer) && !strncmp(x.name, "optimizer.", 10))) continue;
    if (!x.name[cut]) return cli_fail(c, ST_USAGE, "--only %s leaves no name for '%s'", only, x.name);
    const char *name = renamed(c, &rules, x.name + cut, used);
    if (!name) continue;
    if (!*name) return cli_fail(c, ST_USAGE, "--rename leaves no name for '%s'", x.name);
    x.name = arena_printf(c->arena, "%s%s", prefix, name);
    t->t.v[n++] = x;
  }
  t->t.n = n;
  for (int i = 0; i < rules.n; i++)
    if (!used[i])
      return cli_fail(c, ST_USAGE, "--rename: no tensor's name begins with '%s'", rules.v[i].from);
  if (n) qsort(t->t.v, (size_t)n, sizeof *t->t.v, by_name);
  for (int i = 1; i < n; i++)
    if (!strcmp(t->t.v[i].name, t->t.v[i - 1].name))
      return cli_fail(c, ST_USAGE, "two tensors would be '%s'", t->t.v[i].name);
  return n ? ST_OK : cli_fail(c, ST_USAGE, "%s has no tensor '%s*'", t->path, only);
}

static Status convert(Cli *c, Tensors *open) {
  enum { MARGIN = sizeof ".npy.tmp-XXXXXX" };      /* what a name gets while its file is written */
  static const StMeta meta[] = {{"format", "pt"}}; /* without it some readers in Python refuse the file */
  const char *out = c->opt.arg[2];
  Status s = open_tensors(c, c->opt.arg[1], &open[0]);
  if (!s) s = choose(c, &open[0]);
  if (s) return s;
  const Tensors t = open[0];
  if (cli_has_suffix(out, ".safetensors")) return st_write(out, t.t.v, t.t.n, meta, 1, c->diags);
  if (cli_has_suffix(out, ".npy")) {
    if (t.t.n != 1)
      return cli_fail(c, ST_USAGE, "one .npy file holds one tensor, but %s has %d", t.path, t.t.n);
    return npy_write(out, &t.t.v[0], c->diags);
  }
  for (int i = 0; i < t.t.n; i++) {
    const StTensor *x = &t.t.v[i];
    if (strchr(x->name, '/') || strlen(x->name) > NAME_MAX - MARGIN)
      return cli_fail(c, ST_FILE, "'%.300s' cannot be a file's name", x->name);
    if (!npy_holds(x->dt))
      return cli_fail(c, ST_FILE, "'%s' is %s, which an npy file cannot hold", x->name, dtype_name(x->dt));
  }
  if ((s = file_make_folder(out, c->diags))) return s;
  for (int i = 0; i < t.t.n && !s; i++)
    s = npy_write(arena_printf(c->arena, "%s/%s.npy", out, t.t.v[i].name), &t.t.v[i], c->diags);
  return s;
}

/* The check sums of a checkpoint, or of both in a run's folder. */
static Status check(Cli *c, Tensors *open) {
  (void)open;
  const char *path = c->opt.arg[1];
  bool folder = file_is_folder(path), found = true;
  if (folder && checkpoint_find(path, &found, c->diags)) return ST_FILE;
  if (!found)
    return cli_fail(c, ST_FILE, "%s holds neither %s nor %s", path, checkpoint_files[0], checkpoint_files[1]);
  Status worst = ST_OK;
  for (int i = 0; i < (folder ? CHECKPOINT_FILES : 1); i++) {
    const char *file = folder ? arena_printf(c->arena, "%s/%s", path, checkpoint_files[i]) : path;
    if (folder && i && access(file, F_OK)) continue; /* a run's first checkpoint has none before it */
    StFile *f = checkpoint_file(file, c->diags);
    if (f)
      printf("%s: %d tensors, %s\n", file, st_count(f),
             checkpoint_has_sums(f) ? "all as written" : "no checksums");
    else worst = ST_FILE;
    st_close(f);
  }
  return worst;
}

Status cmd_ckpt(Cli *c) {
  static const struct {
    const char *name;
    int nargs;
    Status (*run)(Cli *, Tensors *);
    const char *usage;
  } verb[] = {{"ls", 2, list, "ls RUN|FILE"},
              {"check", 2, check, "check RUN|FILE"},
              {"diff", 3, diff, "diff A B"},
              {"convert", 3, convert, "convert RUN|FILE|DIR FILE.safetensors|FILE.npy|DIR"}};
  enum { VERBS = sizeof verb / sizeof *verb };
  const char *names[VERBS];
  for (int i = 0; i < VERBS; i++) {
    names[i] = verb[i].name;
    if (strcmp(c->opt.arg[0], verb[i].name)) continue;
    if (c->opt.narg != verb[i].nargs) return cli_fail(c, ST_USAGE, "usage is jepac ckpt %s", verb[i].usage);
    Tensors open[2] = {{0}, {0}};
    Status s = verb[i].run(c, open);
    for (int k = 0; k < 2; k++)
      if (open[k].file) st_close(open[k].file);
    return s;
  }
  const char *near = nearest_name(c->opt.arg[0], names, VERBS);
  cli_fail(c, ST_USAGE, "jepac ckpt knows ls, check, diff and convert, not '%s'", c->opt.arg[0]);
  if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
  return ST_USAGE;
}
