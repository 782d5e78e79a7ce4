/* jepac run: one entry, or K optimizer steps, on tensors from files; compiled code or the f64 interpreter. */
#include "cli/cli.h"
#include "lib/labels.h"
#include "runtime/checkpoint.h"
#include "runtime/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  Cli *c;
  Model *model; /* NULL for a FILE.ir */
  const Graph *g;
  Program *program; /* of a FILE.ir of the kernel level, else NULL */
  StTensor *in;     /* --inputs */
  int nin;
  StFile *params; /* --params or NULL */
  bool train_step;
  int64_t steps;
  uint64_t seed;
  VEC(StTensor) result, state; /* after the run */
} Run;

/* ---- files ---- */
static Status open_inputs(Run *r, StFile **file) {
  Cli *c = r->c;
  const char *path = OPT(c, inputs);
  if (!path) return ST_OK;
  if (cli_has_suffix(path, ".npy")) {
    r->in = NEW(c->arena, StTensor);
    r->nin = 1;
    return npy_read(path, r->in, c->arena, c->diags);
  }
  *file = st_open(path, c->diags);
  if (!*file) return ST_FILE;
  r->nin = st_count(*file);
  r->in = NEWN(c->arena, StTensor, r->nin + 1);
  for (int i = 0; i < r->nin; i++) r->in[i] = *st_tensor(*file, i);
  return ST_OK;
}

static Status check_extents(Run *r) {
  for (int i = 0; i < r->nin; i++)
    for (int k = 0; k < r->in[i].shape.rank; k++)
      if (r->in[i].shape.dim[k] < 1)
        return cli_fail(r->c, ST_FILE, "%s: tensor '%s': dimension %d has size %lld", OPT(r->c, inputs),
                        r->in[i].name, k, (long long)r->in[i].shape.dim[k]);
  return ST_OK;
}

/* ---- the graph ---- */
static Status graph_from_ir(Run *r) {
  Cli *c = r->c;
  if (OPT(c, grad) || OPT(c, mode))
    return cli_fail(c, ST_USAGE,
                    "--grad and --mode belong to model files: an IR file is one graph as it stands");
  Status s = cli_read_program(c, c->opt.arg[0], true, &r->program);
  if (s) return s;
  Graph *g = NULL;
  if (!r->program) s = cli_read_ir(c, c->opt.arg[0], &g);
  r->g = r->program ? r->program->graph : g;
  return s;
}

static Status graph_from_model(Run *r) {
  Cli *c = r->c;
  KnownShape *known = NEWN(c->arena, KnownShape, r->nin + 1);
  for (int i = 0; i < r->nin; i++) known[i] = (KnownShape){r->in[i].name, r->in[i].dt, r->in[i].shape};
  Status s = cli_load(c, c->opt.arg[0], known, r->nin && !*r->in[0].name ? 0 : r->nin, &r->model);
  if (s) return s;
  r->seed = cli_seed(c, cli_recipe(c, r->model));
  return cli_model_graph(c, r->model, OPT(c, entry), &r->g);
}

/* A .npy file has no name for its tensor: it is the only argument. */
static void name_npy(Run *r) {
  const Input *only = NULL;
  int n = 0;
  for (int i = 0; i < r->g->inputs.n; i++)
    if (r->g->inputs.v[i].kind == IN_ARG) {
      only = &r->g->inputs.v[i];
      n++;
    }
  if (n == 1 && r->nin == 1 && !*r->in[0].name) r->in[0].name = only->name;
}

/* ---- does what the files hold fit the graph? ---- */
static Status check_inputs(Run *r) {
  Cli *c = r->c;
  const char **names = NEWN(c->arena, const char *, r->g->inputs.n + 1);
  int n = 0;
  for (int i = 0; i < r->g->inputs.n; i++) {
    const Input *in = &r->g->inputs.v[i];
    if (in->kind != IN_ARG) continue;
    names[n++] = in->name;
    const Node *node = g_node(r->g, in->val);
    char want[128], have[128];
    type_str(node->dt, &node->shape, want);
    const StTensor *t = NULL;
    for (int k = 0; k < r->nin; k++)
      if (!strcmp(r->in[k].name, in->name)) t = &r->in[k];
    if (!t && OPT(c, random)) continue;
    if (!t && !OPT(c, inputs))
      return cli_fail(c, ST_USAGE, "%s needs --inputs with '%s': %s", r->g->name, in->name, want);
    if (!t) return cli_fail(c, ST_FILE, "%s lacks input '%s': %s", OPT(c, inputs), in->name, want);
    if (!shape_eq(&t->shape, &node->shape) || !tensors_same_family(t->dt, node->dt))
      return cli_fail(c, ST_FILE, "%s: input '%s' is %s, but %s needs %s", OPT(c, inputs), in->name,
                      type_str(t->dt, &t->shape, have), r->g->name, want);
    int64_t bad = tensors_misfit(node->dt, t->dt, t->data, shape_count(&t->shape));
    if (bad >= 0)
      return cli_fail(c, ST_FILE, "%s: element %lld of input '%s' does not fit %s", OPT(c, inputs),
                      (long long)bad, in->name, dtype_name(node->dt));
  }
  for (int k = 0; k < r->nin; k++) {
    bool found = false;
    for (int i = 0; i < n; i++) found |= !strcmp(names[i], r->in[k].name);
    if (found) continue;
    cli_fail(c, ST_FILE, "%s: %s has no input '%s'", OPT(c, inputs), r->g->name, r->in[k].name);
    const char *near = nearest_name(r->in[k].name, names, n);
    if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
    return ST_FILE;
  }
  return ST_OK;
}

/* An argument that --random fills: no file holds it. */
static bool is_random(const Run *r, const char *name) {
  for (int i = 0; i < r->nin; i++)
    if (!strcmp(r->in[i].name, name)) return false;
  return OPT(r->c, random);
}

static void set_random(Run *r, Session *s) {
  const Plan *p = session_plan(s);
  for (int i = 0; i < p->ntensor; i++) {
    SessionTensor t = session_tensor_at(s, i);
    if (t.kind != PT_ARG || !is_random(r, t.name)) continue;
    int64_t n = shape_count(&t.shape);
    double *v = NEWN(r->c->arena, double, n + 1);
    cli_random_values(t.name, t.dt, n, r->seed, v);
    tensors_from_cells(t.dt, t.data, v, n);
  }
}

static void set_inputs(Run *r, Session *s) {
  set_random(r, s);
  for (int i = 0; i < r->nin; i++) {
    void *at;
    const PlanTensor *t = tensors_find(s, PT_ARG, r->in[i].name, &at);
    if (t) tensors_convert(t->dt, at, r->in[i].dt, r->in[i].data, shape_count(&t->shape));
  }
}

static void set_scalars(Run *r, Session *s, int64_t step) {
  const Recipe *recipe = r->train_step ? cli_recipe(r->c, r->model) : NULL;
  int64_t total = recipe && recipe->steps > 0 ? recipe->steps * recipe->accumulate : r->steps;
  tensors_set_number(s, "seed", (int64_t)r->seed);
  tensors_set_number(s, "step", step);
  tensors_set_number(s, "steps_per_epoch", r->steps);
  tensors_set_number(s, "total_steps", total);
}

static void print_scalars(Run *r, int64_t step, const char *name, const Shape *shape, DType dt,
                          const void *data) {
  if (shape->rank || OPT(r->c, quiet) || !strncmp(name, "grad.", 5)) return;
  double x;
  tensors_to_f64(&x, dt, data, 1);
  if (r->steps > 1) printf("step %lld ", (long long)step);
  printf("%s %.9g\n", name, x);
}

/* ---- labels ---- */
static bool has_nan(const StTensor *t) {
  int64_t n = shape_count(&t->shape);
  for (int64_t i = 0; i < n && dtype_is_float(t->dt); i++) {
    double x;
    tensors_to_f64(&x, t->dt, (const char *)t->data + i * dtype_size(t->dt), 1);
    if (isnan(x)) return true;
  }
  return false;
}

static Status stray_label(Cli *c, const StrayLabel *l) {
  return cli_fail(c, ST_FILE, "row %lld of input '%s' is %lld: there are only the classes 0..%lld",
                  (long long)l->place, l->input, (long long)l->value, (long long)l->classes - 1);
}

/* A label that is no class makes results that are not numbers. in: what the interpreter of g read; NULL: k ran. */
static Status check_labels(Run *r, const Compiled *k, const Graph *g, const Tensor64 *in) {
  StrayLabel l;
  bool nan = false;
  for (int i = 0; i < r->result.n; i++) nan |= has_nan(&r->result.v[i]);
  for (int i = 0; nan && in && i < g->inputs.n; i++)
    if (labels_stray(g, i, in[i].v, &l)) return stray_label(r->c, &l);
  return nan && k && labels_stray_of(k, r->c->arena, &l) ? stray_label(r->c, &l) : ST_OK;
}

/* ---- interpreter ---- */
static void push(Run *r, bool state, const char *name, DType dt, const Shape *shape, void *data) {
  StTensor t = {name, dt, *shape, data, shape_count(shape) * dtype_size(dt)};
  if (state) vec_push(r->c->arena, &r->state, t);
  else vec_push(r->c->arena, &r->result, t);
}

/* As stored: floats stay f64, the rest gets its own type back. */
static void push_f64(Run *r, bool state, const char *name, const Tensor64 *t) {
  int64_t n = shape_count(&t->shape);
  DType dt = dtype_is_float(t->dt) ? DT_F64 : t->dt;
  char *data = arena_alloc(r->c->arena, (size_t)(n * dtype_size(dt)));
  tensors_from_cells(dt, data, t->v, n);
  push(r, state, name, dt, &t->shape, data);
}

static void load_f64(Run *r, const Graph *g, const Session *store, Tensor64 *in, Arena *a) {
  for (int i = 0; i < g->inputs.n; i++) {
    SessionTensor t = session_tensor_at(store, i);
    int64_t n = shape_count(&t.shape);
    in[i] = (Tensor64){t.dt, t.shape, NEWN(a, double, n + 1)};
    const StTensor *file = g->inputs.v[i].kind != IN_ARG && r->params ? st_find(r->params, t.name) : NULL;
    for (int k = 0; k < r->nin && g->inputs.v[i].kind == IN_ARG; k++)
      if (!strcmp(r->in[k].name, t.name)) file = &r->in[k];
    if (file) /* in full precision */
      tensors_to_cells(in[i].v, t.dt, file->dt, file->data, n);
    else tensors_to_cells(in[i].v, t.dt, t.dt, t.data, n);
  }
}

static Status interpret(Run *r) {
  Cli *c = r->c;
  const Graph *g = r->program ? r->g : compiler_expand(cli_compiler(c, 0), r->g);
  if (!g) return ST_MODEL;
  (void)OPT(c, allow_extern);
  Status may = compiler_may_run(cli_compiler(c, 0), g);
  if (may) return may;
  Session *store = tensors_store(cli_compiler(c, 0), g, r->seed);
  if (!store) return ST_BUDGET;
  set_random(r, store);
  Tensor64 *in = NEWN(c->arena, Tensor64, g->inputs.n + 1), *out = NEWN(c->arena, Tensor64, g->outputs.n + 1);
  load_f64(r, g, store, in, c->arena);
  Status s = ST_OK;
  for (int64_t step = 0; step < r->steps && !s; step++) {
    set_scalars(r, store, step);
    for (int i = 0; i < g->inputs.n; i++)
      if (g->inputs.v[i].kind == IN_RUNTIME)
        in[i].v[0] = int_cell(DT_I64, *(const int64_t *)session_tensor_at(store, i).data);
    Arena *temp = arena_new();
    if (r->program) program_interp(r->program, in, out, temp);
    else graph_interp(g, in, out, temp, false);
    for (int i = 0; i < g->outputs.n; i++) {
      const Output *o = &g->outputs.v[i];
      if (o->state < 0 && !out[i].shape.rank && r->train_step && dtype_is_float(out[i].dt) &&
          !isfinite(out[i].v[0]))
        s = cli_fail(c, ST_NONFINITE, "step %lld: %s is not finite", (long long)step, o->name);
      if (o->state < 0 && !out[i].shape.rank && !OPT(r->c, quiet) && strncmp(o->name, "grad.", 5)) {
        if (r->steps > 1) printf("step %lld ", (long long)step);
        printf("%s %.17g\n", o->name, cell_value(out[i].dt, out[i].v[0]));
      }
      if (o->state < 0 && step == r->steps - 1) push_f64(r, false, o->name, &out[i]);
    }
    for (int i = 0; i < g->outputs.n; i++)
      if (g->outputs.v[i].state >= 0) {
        Tensor64 *t = &in[g->outputs.v[i].state];
        memcpy(t->v, out[i].v, (size_t)shape_count(&t->shape) * 8);
      }
    arena_free(temp);
  }
  for (int i = 0; i < g->inputs.n; i++)
    if (g->inputs.v[i].kind != IN_ARG && g->inputs.v[i].kind != IN_RUNTIME)
      push_f64(r, true, g->inputs.v[i].name, &in[i]);
  session_free(store);
  return s ? s : check_labels(r, NULL, g, in);
}

/* ---- compiled ---- */
/* Results of an entry may be infinite or not numbers. Where a library had no result for an item it says why. */
static void explain_results(Run *r, const Compiled *k) {
  bool calls = false;
  for (int i = 0; i < k->program->kernel.n; i++) calls |= kernel_explains(&k->program->kernel.v[i]);
  for (int i = 0; i < k->plan->ntensor && calls; i++) {
    SessionTensor t = session_tensor_at(k->session, i);
    if (t.kind != PT_RESULT || !dtype_is_float(t.dt)) continue;
    int64_t n = shape_count(&t.shape), bad = 0;
    double *v = NEWN(r->c->arena, double, n + 1);
    tensors_to_f64(v, t.dt, t.data, n);
    for (int64_t j = 0; j < n; j++) bad += isnan(v[j]) != 0;
    if (!bad) continue;
    diag_warning(r->c->diags, NULL, "%lld of %lld elements of %s are not numbers", (long long)bad,
                 (long long)n, t.name);
    if (!r->program) cli_explain_nonfinite(r->c, k);
    return;
  }
}

/* The result `loss`, where it is a scalar; -1: there is none. */
static int loss_of(const Plan *p) {
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_RESULT && !p->tensor[i].shape.rank && p->tensor[i].dt == DT_F32 &&
        !strcmp(p->tensor[i].name, "loss"))
      return i;
  return -1;
}

static Status execute(Run *r, Compiled *k) {
  Cli *c = r->c;
  Status s =
      r->program ? compiler_build_program(cli_compiler(c, FOR_CODE), r->program, k) : cli_compile(c, r->g, k);
  if (s) return s;
  compiled_init(k, r->seed);
  if (r->params) states_copy(k->session, r->params);
  set_inputs(r, k->session);
  const Plan *p = k->plan;
  for (int64_t step = 0; step < r->steps; step++) {
    int bad = -1;
    set_scalars(r, k->session, step);
    Status bad_step = ST_OK;
    int loss = loss_of(p);
    if (r->train_step) bad_step = compiled_step(k, &bad);
    else if (loss >= 0) bad_step = session_step(k->session, &loss, 1, &bad);
    else session_run(k->session, 0, p->nstep); /* other results may be infinite */
    if (bad_step) {
      StrayLabel l;
      if (labels_stray_of(k, c->arena, &l)) return stray_label(c, &l);
      cli_fail(c, ST_NONFINITE, "step %lld: %s is not finite", (long long)step, p->tensor[bad].name);
      if (!r->program) cli_explain_nonfinite(c, k);
      return ST_NONFINITE;
    }
    for (int i = 0; i < p->ntensor; i++) {
      SessionTensor t = session_tensor_at(k->session, i);
      if (t.kind == PT_RESULT) print_scalars(r, step, t.name, &t.shape, t.dt, t.data);
      if (t.kind == PT_RESULT && step == r->steps - 1) push(r, false, t.name, t.dt, &t.shape, t.data);
    }
  }
  if (!r->train_step) explain_results(r, k);
  StTensor *state = NEWN(c->arena, StTensor, p->ntensor + 1);
  for (int i = 0, n = states_list(k->session, state); i < n; i++) vec_push(c->arena, &r->state, state[i]);
  return check_labels(r, k, NULL, NULL);
}

static Status save(Run *r) {
  Cli *c = r->c;
  const char *out = OPT(c, outputs);
  Status s = ST_OK;
  if (out && cli_has_suffix(out, ".npy")) {
    if (!r->result.n) return cli_fail(c, ST_USAGE, "%s returns nothing to write into %s", r->g->name, out);
    s = npy_write(out, &r->result.v[0], c->diags);
  } else if (out) {
    s = st_write(out, r->result.v, r->result.n, NULL, 0, c->diags);
  }
  if (!s && OPT(c, params_out)) s = st_write(OPT(c, params_out), r->state.v, r->state.n, NULL, 0, c->diags);
  return s;
}

Status cmd_run(Cli *c) {
  Run r = {.c = c,
           .steps = OPT(c, steps) < 0 ? 1 : OPT(c, steps),
           .seed = OPT(c, seed) < 0 ? 0 : (uint64_t)OPT(c, seed)};
  bool ir = cli_has_suffix(c->opt.arg[0], ".ir");
  r.train_step = !ir && OPT(c, entry) && !strcmp(OPT(c, entry), "train_step");
  if (r.steps < 1) return cli_fail(c, ST_USAGE, "--steps needs at least 1");
  if (!ir && !r.train_step && OPT(c, steps) >= 0)
    return cli_fail(c, ST_USAGE, "--steps repeats optimizer steps: it belongs to --entry train_step");
  StFile *inputs = NULL;
  Compiled k = {0};
  Status s = r.train_step ? cli_check_train_step(c) : ST_OK;
  if (!s) s = open_inputs(&r, &inputs);
  if (!s) s = check_extents(&r);
  if (!s && OPT(c, params) && !(r.params = states_open(OPT(c, params), c->arena, c->diags))) s = ST_FILE;
  if (!s) s = ir ? graph_from_ir(&r) : graph_from_model(&r);
  if (!s) name_npy(&r);
  if (!s) s = check_inputs(&r);
  if (!s && r.params) s = states_check(cli_compiler(c, 0), r.model, r.g, r.params);
  if (!s) s = OPT(c, interp) ? interpret(&r) : execute(&r, &k);
  if (!s) s = save(&r);
  compiled_free(&k);
  st_close(inputs);
  st_close(r.params);
  return s;
}
