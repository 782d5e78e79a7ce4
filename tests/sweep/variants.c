/* The variants of a sweep that are commands of jepac (sweep.h). */
#include "tests/sweep/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/compiler.h"
#include "runtime/rng.h"

#define ONE_OF(C, ...) one_of(C, (const char *const[]){__VA_ARGS__, NULL})
static const char *one_of(Case *c, const char *const *words) {
  int n = 0;
  while (words[n]) n++;
  return words[case_draw(c, n)];
}

static const char *failed(Case *c, Status s) {
  return s == ST_OK ? NULL : arena_printf(c->a, "status %d: %s", (int)s, case_said(c));
}

/* Both write out.safetensors; a budget that is too small, or a loss that is not finite, ends either. */
static const char *both(Case *c, const char *first, const char *second,
                        const char *(*agree)(Case *, const char *, const char *)) {
  const char *words[] = {first, second};
  for (int i = 0; i < 2; i++) {
    Status s = case_jepac(c, "run %s %s -q --outputs %s/%d.safetensors", c->file, words[i], c->folder, i);
    if (s == ST_BUDGET || s == ST_NONFINITE) return NULL;
    if (s) return failed(c, s);
  }
  return agree(c, "0.safetensors", "1.safetensors");
}

static const char *verify(Case *c) {
  return failed(c, case_jepac(c, "verify %s -q --seed %d --threads %d%s%s", c->file, (int)case_draw(c, 99),
                              1 + (int)case_draw(c, 3), ONE_OF(c, "", " --conv direct", " --conv winograd"),
                              ONE_OF(c, "", "", " --precision bf16")));
}

static const char *verify_graph(Case *c) {
  Status s = case_jepac(c, "verify %s -q --seed %d --threads %d --conv %s", c->file, (int)case_draw(c, 99),
                        1 + (int)case_draw(c, 3), ONE_OF(c, "auto", "direct", "winograd"));
  /* a graph may round on the way, where differences are steps */
  return s == ST_VERIFY && strstr(case_said(c), "finite differences") ? NULL : failed(c, s);
}

static const char *bounds(Case *c) {
  return failed(c, case_jepac(c, "verify %s -q --check-bounds", c->file));
}

static const char *threads(Case *c) {
  return both(c, "--random --threads 1",
              ONE_OF(c, "--random --threads 2", "--random --threads 3", "--random --threads 5"), case_same);
}

static const char *budget(Case *c) {
  return both(c, "--random --grad",
              ONE_OF(c, "--random --grad --max-memory 4K", "--random --grad --max-memory 16K",
                     "--random --grad --max-memory 64K"),
              case_near);
}

static const char *conv(Case *c) {
  return both(c, "--random --grad --conv direct",
              ONE_OF(c, "--random --grad --conv auto", "--random --grad --conv winograd"), case_near);
}

static const char *bf16(Case *c) {
  return both(c, "--random --precision bf16 --threads 1", "--random --precision bf16 --threads 2", case_same);
}

/* The text of the kernels, read back, has the same bits. */
static const char *stages(Case *c) {
  Status s = case_jepac(c, "ir %s --stage kernels -o %s/k.ir", c->file, c->folder);
  if (!s) s = case_jepac(c, "run %s --random -q --outputs %s/0.safetensors", c->file, c->folder);
  if (!s) s = case_jepac(c, "run %s/k.ir --random -q --outputs %s/1.safetensors", c->folder, c->folder);
  return s == ST_NONFINITE ? NULL : s ? failed(c, s) : case_same(c, "0.safetensors", "1.safetensors");
}

/* Optimizer steps with code from the compiler and one thread, and with code from the cache and three. */
static const char *steps(Case *c) {
  setenv("JEPAC_CACHE", arena_printf(c->a, "%s/cache", c->folder), 1);
  for (int i = 0, n = 2 + (int)case_draw(c, 2); i < 2; i++) {
    Status s = case_jepac(
        c, "run %s --entry train_step --random -q --steps %d --params-out %s/%d.safetensors --threads %d",
        c->file, n, c->folder, i, 1 + 2 * i);
    if (s) return s == ST_NONFINITE ? NULL : failed(c, s);
  }
  return case_same(c, "0.safetensors", "1.safetensors");
}

/* ---- training: straight through, and interrupted ---- */
/* Samples for every argument of the model, in the file that `data` names: normal, labels 0 and 1. */
static Status write_data(Case *c) {
  Compiler k = {.arena = c->a, .diags = diags_new(c->a)};
  Model *m;
  const Graph *g;
  Status s = compiler_load(&k, c->file, NULL, NULL, 0, &m);
  if (!s) s = compiler_entry(&k, m, NULL, true, false, &g);
  if (s) return s;
  StTensor *t = NEWN(c->a, StTensor, g->inputs.n + 1);
  int n = 0;
  for (int i = 0; i < g->inputs.n; i++) {
    if (g->inputs.v[i].kind != IN_ARG) continue;
    const Node *x = g_node(g, g->inputs.v[i].val);
    Rng r = rng_stream(1, 7, (uint32_t)i, 0);
    t[n] = (StTensor){.name = g->inputs.v[i].name, .dt = x->dt, .shape = x->shape};
    t[n].shape.dim[0] = 3 * x->shape.dim[0] + 1;
    int64_t count = shape_count(&t[n].shape);
    t[n].bytes = count * dtype_size(x->dt);
    void *data = arena_alloc(c->a, (size_t)t[n].bytes);
    for (int64_t j = 0; j < count; j++)
      if (x->dt == DT_F32) ((float *)data)[j] = (float)rng_normal(&r);
      else ((int64_t *)data)[j] = (int64_t)rng_below(&r, 2);
    t[n++].data = data;
  }
  return st_write(arena_printf(c->a, "%s/data.safetensors", c->folder), t, n, NULL, 0, k.diags);
}

static const char *resume(Case *c) {
  int whole = 3 + (int)case_draw(c, 4), part = 1 + (int)case_draw(c, whole - 1);
  if (write_data(c)) return "no data for this model";
  setenv("JEPAC_CACHE", arena_printf(c->a, "%s/cache", c->folder), 1);
  const char *common = arena_printf(c->a, "train %s -q --data %s/data.safetensors", c->file, c->folder);
  Status s = case_jepac(c, "%s --out %s/a --steps %d --threads 1", common, c->folder, whole);
  if (s) return s == ST_NONFINITE ? NULL : failed(c, s);
  for (int n = part; !s && n < whole; n += 1 + (int)case_draw(c, 3))
    s = case_jepac(c, "%s --out %s/b --steps %d --threads %d%s", common, c->folder, n,
                   1 + (int)case_draw(c, 2), n == part ? "" : " --resume");
  if (!s) s = case_jepac(c, "%s --out %s/b --steps %d --threads 1 --resume", common, c->folder, whole);
  return s ? failed(c, s) : case_same(c, "a/checkpoint.safetensors", "b/checkpoint.safetensors");
}

const Variant variants[] = {
    {"verify", OF_MODEL, verify, "passes, kernels, gradients, bounds; threads, algorithms, bf16"},
    {"verify-graph", OF_GRAPH, verify_graph, "the same of a graph"},
    {"bounds", OF_SPECIAL, bounds, "kernels between unreadable pages"},
    {"threads", OF_SPECIAL, threads, "bits with 1 and with 2, 3 or 5 threads"},
    {"interp", OF_GRAPH, values_interp, "compiled for one of three processors against interpreted"},
    {"special", OF_SPECIAL, values_special,
     "the same over NaN, infinities, denormals, the largest and smallest"},
    {"budget", OF_MODEL, budget, "within 4K, 16K, 64K of memory"},
    {"conv", OF_MODEL, conv, "direct against Winograd convolutions"},
    {"bf16", OF_MODEL, bf16, "bits in bf16 with 1 and 2 threads"},
    {"steps", OF_MODEL, steps, "bits of optimizer steps: cold cache, warm cache with 3 threads"},
    {"resume", OF_MODEL, resume, "bits of a training and of one that was resumed once or several times"},
    {"library", OF_MODEL, values_library,
     "compiled ahead of time against just in time: initial states, steps"},
    {"passes", OF_SPECIAL, values_passes, "a random sequence of graph passes, interpreted"},
    {"stages", OF_SPECIAL, stages, "bits of kernels read back from text"},
    {0},
};
