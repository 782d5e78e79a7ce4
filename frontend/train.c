/* Graphs of entries and of the whole training step: objectives, gradients, clipping, optimizers, averages,
   metrics. */
#include "frontend/lint.h"

#include "ir/graph/vjp.h"

#include <string.h>

enum { MAX_NAMES = 64 };

/* ---- entries ---- */

Module *elab_root(Elab *e, Frame *f) {
  Model *m = e->m;
  Arg *arg = NEWN(e->arena, Arg, m->main_args.n + 1);
  for (int i = 0; i < m->main_args.n; i++) {
    const Ast *a = m->main_args.v[i];
    arg[i] = (Arg){a->name, eval(e, f, a->kid[0]), a, e->watch->argument(e, a)};
  }
  /* the root's path is known before its body runs, so equations of its body may apply its modules */
  Frame *top = NEW(e->arena, Frame); /* frames below it stay */
  *top = *f;
  top->self = NULL;
  Value v = instantiate(e, top, NULL, m->main, arg, m->main_args.n);
  assign_paths(e, v, "");
  return v.u.module;
}

/* An argument of an entry as a graph input. */
static Value entry_input(Elab *e, Frame *f, const Ast *param) {
  const Ast *type = param->kid[0];
  if (!type) elab_error(e, f, param, "argument `%s` of an entry needs a type such as f32[B, 3]", param->name);
  Shape s = {.rank = type->nkid};
  if (type->nkid > MAX_RANK) elab_error(e, f, type, "at most %d axes are supported", MAX_RANK);
  for (int i = 0; i < type->nkid; i++) {
    const Ast *k = type->kid[i];
    if (k->kind == AST_ELLIPSIS) elab_error(e, f, k, "an entry's argument needs every extent");
    if (!eval_extent(e, f, k, &s.dim[i])) {
      elab_report(e, f, k, "the extent `%s` of `%s` is not known", k->name, param->name);
      diag_note(e->diags, NULL, "give it with --set %s=NUMBER, with inputs, or in the file: dim %s = NUMBER",
                k->name, k->name);
      diag_throw(e->diags);
    }
    if (s.dim[i] < 1)
      elab_error(e, f, k, "axis %d of `%s` has the extent %lld, expected at least 1", i, param->name,
                 (long long)s.dim[i]);
  }
  DType dt = type_dtype(e, f, type);
  int known = g_find_input(e->g, param->name);
  if (known >= 0) { /* entries of one step share arguments by name */
    Value v = v_tensor(e->g->inputs.v[known].val);
    return check_type(e, f, f, param, type, v, arena_printf(e->arena, "argument `%s`", param->name));
  }
  t_fits(e, f, param, dt, &s);
  e->g->loc = elab_loc(e, f, param);
  return v_tensor(g_input(e->g, param->name, IN_ARG, dt, &s, NULL));
}

typedef struct {
  Module *self;
  const Ast *decl;
} EntryCall;

static void run_entry(Elab *e, Frame *f, const Ast *at, void *of) {
  const EntryCall *call = of;
  Module *self = call->self;
  const Ast *decl = call->decl;
  Frame *callee = frame_new(e, f, decl, self, NULL);
  callee->record = true;
  for (int i = 1; i < decl->nkid; i++) {
    const Ast *p = decl->kid[i];
    Value v;
    if (p->num || p->kid[1])
      elab_error(e, NULL, p, "argument `%s` of an entry cannot %s", p->name,
                 p->num ? "take any number of values" : "have a default");
    if (e->entry_args) {
      v = entry_input(e, callee, p);
    } else {
      const Var *bound = vars_find_var(&e->binds, p->name);
      if (!bound) {
        elab_report(e, f, at, "argument `%s` of entry `%s` is not bound: add `bind %s = ...`", p->name,
                    decl->name, p->name);
        diag_note(e->diags, ast_loc(e, p), "the argument");
        diag_throw(e->diags);
      }
      e->watch->read(e, bound);
      v = bound->v;
      if (p->kid[0])
        v = check_type(e, callee, f, bound->at, p->kid[0], v,
                       arena_printf(e->arena, "argument `%s` of %s", p->name, decl->name));
    }
    vars_set(e, &callee->vars, p->name, v, p);
    note_value(e, p, v);
  }
  exec_block(e, callee, decl->kid[0]);
  if (callee->failed) { /* which results it has is known all the same */
    if (callee->result.kind == V_RECORD) vars_set(e, &e->entry_results, decl->name, callee->result, decl);
    diag_throw(e->diags);
  }
  if (!callee->returned) elab_error(e, NULL, decl, "entry `%s` returns nothing", decl->name);
  Value r = callee->result;
  for (int i = 0; i < r.u.list->n; i++) {
    if (!r.u.list->name[i])
      elab_error(e, NULL, decl, "result %d of entry `%s` needs a name: return NAME = ...", i + 1, decl->name);
    for (int k = 0; k < i; k++)
      if (r.u.list->name[k] == r.u.list->name[i])
        elab_error(e, NULL, decl, "entry `%s` has two results named `%s`", decl->name, r.u.list->name[i]);
    r.u.list->v[i] =
        v_tensor(need_tensor(e, callee, decl, r.u.list->v[i],
                             arena_printf(e->arena, "result `%s` of %s", r.u.list->name[i], decl->name)));
  }
  vars_set(e, &e->entry_results, decl->name, r, decl);
}

Value call_entry(Elab *e, Frame *f, const Ast *at, Module *self, const Ast *decl) {
  EntryCall call = {self, decl};
  const Value *done = vars_find(&e->entry_results, decl->name);
  if (!done && !elab_attempt(e, f, at, run_entry, &call)) {
    if (!vars_find(&e->entry_results, decl->name))
      vars_set(e, &e->entry_results, decl->name, (Value){.kind = V_WRONG}, decl);
    diag_throw(e->diags);
  }
  if (!done) done = vars_find(&e->entry_results, decl->name);
  if (done->kind == V_WRONG) diag_throw(e->diags);
  return *done;
}

static void need_loss(Elab *e, Frame *f, const Ast *at, Val v) {
  const Node *n = t_type(e, v);
  if (n->shape.rank == 0 && dtype_is_float(n->dt)) return;
  elab_report(e, f, at, "a loss is a scalar float, but this is %s", value_text(e, v_tensor(v)));
  elab_note_value(e, v_tensor(v), "the value");
  diag_throw(e->diags);
}

typedef struct {
  const char *entry;
  bool grad, bind_data;
} Request;

static void build_entry(Elab *e, const Request *q) {
  Model *m = e->m;
  const Ast *decl = NULL;
  const char *names[64];
  int n = 0;
  for (int i = 0; i < m->entries.n; i++) {
    if (n < 64) names[n++] = m->entries.v[i]->name;
    if (name_is(m->entries.v[i]->name, q->entry)) decl = m->entries.v[i];
  }
  if (!m->main) {
    diag_error(e->diags, NULL, "%s has no model with an entry", m->files.v[0]->path);
    diag_throw(e->diags);
  }
  if (!decl) {
    diag_error(e->diags, NULL, "%s has no entry `%s`%s", m->main->name, q->entry,
               did_you_mean(e, q->entry, names, n));
    diag_throw(e->diags);
  }
  Frame f = {.src = m->files.v[0], .what = decl->name, .training = e->training};
  e->root = elab_root(e, &f);
  e->entry_args = true;
  Value r = call_entry(e, &f, decl, e->root, decl);
  StateVec states = {0};
  collect_states(e, v_module(e->root), &states);
  const List *l = r.u.list;
  for (int i = 0; i < l->n; i++) g_output(e->g, l->name[i], l->v[i].u.val, -1);
  if (q->grad) {
    need_loss(e, &f, decl, l->v[0].u.val);
    e->g->role = ROLE_GRADIENT;
    for (int i = 0; i < states.n; i++) {
      State *s = states.v[i];
      if (s->kind != IN_PARAM || s->input < 0) continue;
      Val in[2] = {l->v[0].u.val, s->input};
      e->g->loc = s->loc;
      g_output(e->g, arena_printf(e->arena, "grad.%s", s->name),
               g_add(e->g, OP_grad, in, 2, NULL, 0, DT_NONE, NULL), -1);
    }
  }
  output_updates(e, &states);
  lint_entry(e);
}

/* ---- the training step ---- */

typedef struct {
  const char *name; /* of the metric "loss": "probe.class." in front of a probe's */
  const Ast *at;
  Val loss;
  bool shared; /* a group of the main loss's parameters, clipped together with the others */
  StateVec params;
  Value *grad;
  const Ast *optimizer_at, *clip;
  Frame *frame;
} Objective;

typedef struct {
  Elab *e;
  Frame *f;
  VEC(Objective) objectives;
  Vars metrics;
  StateVec states;   /* everything that persists, in declaration order */
  Value first, last; /* with `accumulate`: is this a step's first batch, its last? */
} Step;

static void add_metric(Step *s, const char *name, Val v) {
  Var var = {.name = name, .v = v_tensor(v)};
  vec_push(s->e->arena, &s->metrics, var);
}

/* A metric is logged as a scalar f32. */
static Val metric_value(Elab *e, Frame *f, const Ast *at, Value v, const char *name) {
  if (v.kind == V_NUM) return t_scalar(e, f, at, DT_F32, v.u.num);
  Val t = need_tensor(e, f, at, v, arena_printf(e->arena, "metric `%s`", name));
  if (t_type(e, t)->shape.rank != 0)
    elab_error(e, f, at, "metric `%s` must be a scalar, but is %s", name, value_text(e, v));
  return t_cast(e, f, at, v_tensor(t), DT_F32).u.val;
}

/* The log has one value of a name; prefix: that of a probe's. */
static void log_metric(Step *s, const Ast *at, const char *prefix, Val v) {
  static const char *const own[] = {"step", "lr", "grad_norm", "images_per_s", "loader_wait_s", "peak_bytes"};
  const char *name = arena_printf(s->e->arena, "%s%s", prefix, at->name);
  bool taken = name_is(at->name, "loss");
  for (int i = 0; i < (int)(sizeof own / sizeof *own); i++) taken |= name_is(name, own[i]);
  for (int i = 0; i < s->metrics.n; i++) taken |= name_is(name, s->metrics.v[i].name);
  if (taken) elab_error(s->e, s->f, at, "there is already a `%s` in the log", name);
  add_metric(s, name, v);
}

static bool has_state(const StateVec *v, const State *p) {
  for (int i = 0; i < v->n; i++)
    if (v->v[i] == p) return true;
  return false;
}

/* Which values the loss depends on differentiably. */
static bool *reached_from(Elab *e, Val loss) {
  bool *mark = NEWN(e->arena, bool, loss + 1);
  mark[loss] = true;
  for (Val v = loss; v >= 0; v--) {
    const Node *n = g_node(e->g, v);
    for (int i = 0; mark[v] && i < n->nin; i++) mark[n->in[i]] |= op_vjp_flows(e->g, v, i);
  }
  return mark;
}

/* The parameters among states that loss depends on; claimed ones belong to another objective. */
static Objective objective(Step *s, const char *name, const Ast *at, Frame *f, Val loss,
                           const StateVec *states, const StateVec *claimed, bool lint) {
  Elab *e = s->e;
  Objective o = {.name = name, .at = at, .loss = loss, .frame = f};
  need_loss(e, f, at, loss);
  bool *mark = reached_from(e, loss);
  for (int i = 0; i < states->n; i++) {
    State *p = states->v[i];
    if (p->kind != IN_PARAM || (claimed && has_state(claimed, p))) continue;
    if (p->input >= 0 && p->input <= loss && mark[p->input]) vec_push(e->arena, &o.params, p);
    else if (lint && !lint_covers(e->m, p->name))
      diag_warning(e->diags, p->loc, "parameter `%s` is reached by no objective, so it is not trained",
                   p->name);
  }
  if (!o.params.n) elab_error(e, f, at, "this loss depends on no parameter");
  return o;
}

/* ---- parameter groups and further objectives ---- */

typedef struct {
  const Ast *minimize, *params, *optimizer, *clip;
} ObjectiveText;

/* The statements of an `objective` block. */
static ObjectiveText objective_text(Step *s, const Ast *a) {
  Elab *e = s->e;
  ObjectiveText t = {0};
  const struct {
    const char *name;
    const Ast **slot;
  } setting[] = {{"params", &t.params}, {"optimizer", &t.optimizer}, {"clip_norm", &t.clip}};
  for (int i = 0; i < a->kid[0]->nkid; i++) {
    const Ast *k = a->kid[0]->kid[i], **slot = NULL;
    if (k->kind == AST_MINIMIZE) slot = &t.minimize;
    for (int j = 0; j < 3; j++)
      if (k->kind == AST_ASSIGN && k->nkid == 2 && name_is(k->kid[1]->name, setting[j].name))
        slot = setting[j].slot;
    if (!slot)
      elab_error(e, s->f, k, "an objective has `params`, `minimize`, `optimizer` and `clip_norm`, not this");
    if (*slot) elab_error(e, s->f, k, "objective `%s` says this twice", a->name);
    *slot = k->kid[0];
  }
  if (!t.params || !t.optimizer)
    elab_error(e, s->f, a, "objective `%s` lacks `%s = ...`", a->name, t.params ? "optimizer" : "params");
  return t;
}

/* The parameters of a list of modules and parameters. */
static StateVec listed_params(Step *s, const Ast *at) {
  Elab *e = s->e;
  StateVec found = {0}, out = {0};
  Value v = eval(e, s->f, at), one = v_list(e, 1);
  if (v.kind != V_LIST) one.u.list->v[0] = v;
  const List *l = v.kind == V_LIST ? v.u.list : one.u.list;
  for (int i = 0; i < l->n; i++) {
    State *read = NULL;
    for (int k = 0; k < s->states.n && l->v[i].kind == V_TENSOR; k++)
      if (s->states.v[k]->input == l->v[i].u.val) read = s->states.v[k];
    if (read) vec_push(e->arena, &found, read);
    else if (l->v[i].kind == V_MODULE || l->v[i].kind == V_LIST) collect_states(e, l->v[i], &found);
    else elab_error(e, s->f, at, "`params` lists modules and parameters, not %s", value_text(e, l->v[i]));
  }
  for (int i = 0; i < found.n; i++)
    if (found.v[i]->kind == IN_PARAM) vec_push(e->arena, &out, found.v[i]);
  if (!out.n) elab_error(e, s->f, at, "`params` names no parameter");
  return out;
}

/* Objectives take their parameters before the main one does; theirs is the main loss unless they minimize
   another. */
static StateVec add_objectives(Step *s, Val loss, bool lint) {
  Elab *e = s->e;
  const Ast *block = e->m->train->kid[0];
  StateVec claimed = {0};
  for (int i = 0; i < block->nkid; i++) {
    const Ast *a = block->kid[i];
    if (a->kind != AST_OBJECTIVE) continue;
    ObjectiveText t = objective_text(s, a);
    StateVec own = listed_params(s, t.params);
    for (int k = 0; k < own.n; k++) {
      if (has_state(&claimed, own.v[k]))
        elab_error(e, s->f, t.params, "`%s` belongs to two objectives", own.v[k]->name);
      vec_push(e->arena, &claimed, own.v[k]);
    }
    Val v = t.minimize ? need_tensor(e, s->f, t.minimize, eval(e, s->f, t.minimize), "the loss") : loss;
    const char *name = arena_printf(e->arena, "objective.%s.", a->name);
    Objective o = objective(s, name, t.minimize ? t.minimize : a, s->f, v, &own, NULL, lint);
    o.optimizer_at = t.optimizer;
    o.clip = t.clip;
    o.shared = !t.minimize && !t.clip;
    vec_push(e->arena, &s->objectives, o);
  }
  return claimed;
}

static void force_states(Step *s, const StateVec *states) {
  for (int i = 0; i < states->n; i++) {
    state_value(s->e, NULL, NULL, states->v[i]);
    vec_push(s->e->arena, &s->states, states->v[i]);
  }
}

static void main_objective(Step *s, bool lint) {
  Elab *e = s->e;
  const Ast *block = e->m->train->kid[0], *at = NULL;
  for (int i = 0; i < block->nkid; i++)
    if (block->kid[i]->kind == AST_MINIMIZE) at = block->kid[i]->kid[0];
  const Ast *entry = main_entry(e, s->f);
  Value r = call_entry(e, s->f, at, e->root, entry);
  for (int i = 0; i < r.u.list->n; i++) vars_set(e, &s->f->vars, r.u.list->name[i], r.u.list->v[i], entry);
  Val loss = need_tensor(e, s->f, at, eval(e, s->f, at), "the loss");
  StateVec model = s->states;
  Objective main = {0};
  vec_push(e->arena, &s->objectives, main);
  StateVec claimed = add_objectives(s, loss, lint);
  main = objective(s, "", at, s->f, loss, &model, &claimed, lint);
  main.optimizer_at = train_setting(e, "optimizer");
  main.clip = train_setting(e, "clip_norm");
  main.shared = true;
  s->objectives.v[0] = main;
}

/* A probe sees the model's results as constants, and the model as it is in eval mode; its own modules train. */
static void probe(Step *s, const Ast *a) {
  Elab *e = s->e;
  Module *m = NEW(e->arena, Module);
  *m = (Module){
      .decl = a, .path = arena_printf(e->arena, "probe.%s", a->name), .scope = e->root, .probe = true};
  Frame *f = frame_new(e, s->f, a, m, NULL);
  f->fields = true;
  const char *loss_name = word(e, "loss");
  for (int i = 0; i < s->f->vars.n; i++) {
    Var v = s->f->vars.v[i];
    if (v.name == loss_name) continue;
    if (v.v.kind == V_TENSOR && dtype_is_float(t_type(e, v.v.u.val)->dt))
      v.v = t_map(e, f, a, OP_stop_gradient, &v.v, 1);
    vec_push(e->arena, &f->vars, v);
  }
  const char *prefix = arena_printf(e->arena, "%s.", m->path);
  const Ast *optimizer = NULL, *clip = NULL;
  for (int i = 0; i < a->kid[0]->nkid; i++) {
    const Ast *k = a->kid[0]->kid[i];
    if (k->kind == AST_METRIC)
      log_metric(s, k, prefix, metric_value(e, f, k, eval(e, f, k->kid[0]), k->name));
    else if (k->kind == AST_ASSIGN && name_is(k->kid[1]->name, "optimizer")) optimizer = k->kid[0];
    else if (k->kind == AST_ASSIGN && name_is(k->kid[1]->name, "clip_norm")) clip = k->kid[0];
    else exec_statement(e, f, k);
  }
  Value *loss = vars_find(&m->fields, loss_name);
  if (!loss) elab_error(e, s->f, a, "probe `%s` lacks `loss = ...`", a->name);
  StateVec own = {0};
  collect_states(e, v_module(m), &own);
  force_states(s, &own);
  Objective o = objective(s, prefix, a, f, need_tensor(e, f, a, *loss, "the loss"), &own, NULL, true);
  o.optimizer_at = optimizer;
  o.clip = clip;
  vec_push(e->arena, &s->objectives, o);
}

static void metric(Elab *e, Frame *f, const Ast *a, void *of) {
  log_metric(of, a, "", metric_value(e, f, a, eval(e, f, a->kid[0]), a->name));
}

static void monitored(Elab *e, Frame *f, const Ast *a, void *of) {
  add_metric(of, arena_printf(e->arena, "monitor.%s", a->name),
             metric_value(e, f, a, eval(e, f, a->kid[0]), a->name));
}

static void try_probe(Elab *e, Frame *f, const Ast *a, void *of) {
  (void)e, (void)f;
  probe(of, a);
}

static void probes_and_metrics(Step *s) {
  Elab *e = s->e;
  const Ast *block = e->m->train->kid[0];
  e->frozen = true;
  for (int i = 0; i < block->nkid; i++) {
    const Ast *k = block->kid[i];
    if (k->kind == AST_METRIC) elab_attempt(e, s->f, k, metric, s);
    if (k->kind == AST_PROBE) elab_attempt(e, s->f, k, try_probe, s);
    for (int j = 1; k->kind == AST_MONITOR && e->training && j < k->nkid; j++)
      elab_attempt(e, s->f, k->kid[j], monitored, s);
  }
  e->frozen = false;
}

typedef struct {
  Step *step;
  bool lint;
} MainObjective;

static void try_main(Elab *e, Frame *f, const Ast *a, void *of) {
  const MainObjective *m = of;
  (void)e, (void)f, (void)a;
  main_objective(m->step, m->lint);
}

static void look_at(Elab *e, Frame *f, const Ast *a, void *of) {
  (void)of;
  eval(e, f, a);
}

/* The losses and what is logged. After an error the rest of the section is read too, so that all of its errors are
   reported at once: results of the entry that could not be made are unknown there. */
static void losses_and_metrics(Step *s, bool lint, bool metrics) {
  Elab *e = s->e;
  const Ast *block = e->m->train->kid[0];
  Frame plain;
  MainObjective m = {s, lint};
  bool unheard = false; /* what is minimized was not looked at: its entry failed */
  if (!elab_attempt(e, s->f, e->m->train, try_main, &m))
    for (int i = 0; i < e->entry_results.n; i++) {
      const Var *entry = &e->entry_results.v[i];
      const List *l = entry->v.kind == V_RECORD ? entry->v.u.list : NULL;
      for (int k = 0; l && k < l->n; k++) {
        unheard |= l->v[k].kind == V_WRONG;
        if (l->name[k]) vars_set(e, &s->f->vars, l->name[k], (Value){.kind = V_WRONG}, entry->at);
      }
    }
  if (metrics) probes_and_metrics(s);
  if (!e->failed) return;
  plain = *s->f;
  for (int i = 0; i < block->nkid; i++) {
    const Ast *k = block->kid[i];
    if ((k->kind == AST_MINIMIZE && unheard) ||
        (k->kind == AST_ASSIGN &&
         (name_is(k->kid[1]->name, "optimizer") || name_is(k->kid[1]->name, "clip_norm"))))
      elab_attempt(e, &plain, k->kid[0], look_at, NULL);
  }
  diag_throw(e->diags);
}

/* ---- accumulation ---- */

/* Every execution of the graph sees one batch. The first of a step's K batches finds the sums of the step
   before, which do not count; the last one moves the parameters. Between them nothing but the sums and the
   buffers of the model changes. */
static void begin_accumulation(Step *s) {
  Elab *e = s->e;
  const Ast *at = e->m->train;
  if (e->accumulate <= e->parts) return;
  Value n = t_cast(e, s->f, at, v_tensor(t_runtime(e, "step")), DT_F64);
  Value done = t_cast(e, s->f, at, v_tensor(t_steps(e, "step")), DT_F64);
  Value before = t_binary(e, s->f, at, OP_mul, done, v_num((double)e->accumulate));
  Value batch = t_binary(e, s->f, at, OP_sub, n, before);
  s->first = t_binary(e, s->f, at, OP_eq, batch, v_num(0));
  s->last = t_binary(e, s->f, at, OP_eq, batch, v_num((double)(e->accumulate - e->parts)));
}

/* The mean of v over the batches of the step so far, each weighing 1/K. */
static Value accumulate(Step *s, const char *name, Value v) {
  Elab *e = s->e;
  const Ast *at = e->m->train;
  if (e->accumulate <= 1) return v;
  Value part = t_binary(e, s->f, at, OP_mul, v, v_num(1 / (double)e->accumulate));
  if (e->accumulate == e->parts) return v_tensor(parts_sum(e, part.u.val, -1));
  const Node *n = t_type(e, v.u.val);
  State *sum = NEW(e->arena, State);
  *sum = (State){.kind = IN_SLOT,
                 .name = name,
                 .dt = n->dt,
                 .shape = n->shape,
                 .init = {.kind = INIT_FILL},
                 .loc = e->g->loc,
                 .input = -1,
                 .value = -1};
  Value old[3] = {s->first, v_num(0), v_tensor(state_value(e, s->f, at, sum))};
  Value before = t_map(e, s->f, at, OP_select, old, 3);
  Value now = v_tensor(parts_sum(e, part.u.val, before.u.val));
  sum->value = now.u.val;
  vec_push(e->arena, &s->states, sum);
  return now;
}

static Val mean_loss(Step *s, const Objective *o) {
  const char *name = arena_printf(s->e->arena, "accumulated_%sloss", o->name);
  return accumulate(s, name, v_tensor(o->loss)).u.val;
}

/* A state moves with the step's last batch only; before is its value without this step. */
static void move_with_last(Step *s, State *p, Val before) {
  if (s->e->accumulate <= s->e->parts || p->value == before) return;
  Value v[3] = {s->last, v_tensor(p->value), v_tensor(before)};
  p->value = t_map(s->e, s->f, s->e->m->train, OP_select, v, 3).u.val;
}

static void differentiate(Step *s, Objective *o) {
  Elab *e = s->e;
  o->grad = NEWN(e->arena, Value, o->params.n);
  e->g->role = ROLE_GRADIENT;
  for (int i = 0; i < o->params.n; i++) {
    Val in[2] = {o->loss, o->params.v[i]->input};
    e->g->loc = o->params.v[i]->loc;
    o->grad[i] = v_tensor(g_add(e->g, OP_grad, in, 2, NULL, 0, DT_NONE, NULL));
  }
  e->g->role = ROLE_UPDATE;
  for (int i = 0; i < o->params.n; i++)
    o->grad[i] = accumulate(s, arena_printf(e->arena, "accumulated.%s", o->params.v[i]->name), o->grad[i]);
}

/* Clips the gradients of n objectives by their common norm, which it returns. */
static Value clip(Step *s, Objective **o, int n, const Ast *limit) {
  Elab *e = s->e;
  Frame plain = *s->f;
  int total = 0, k = 0;
  for (int i = 0; i < n; i++) total += o[i]->params.n;
  Value all = v_list(e, total);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < o[i]->params.n; j++) all.u.list->v[k++] = o[i]->grad[j];
  Value norm =
      call_library(e, &plain, o[0]->optimizer_at ? o[0]->optimizer_at : o[0]->at, "global_norm", &all, 1);
  if (!limit) return norm;
  Value two[2] = {norm, eval(e, s->f, limit)};
  if (two[1].kind == V_NUM && two[1].u.num <= 0) elab_error(e, s->f, limit, "`clip_norm` must be positive");
  Value factor = call_library(e, &plain, limit, "clip_factor", two, 2);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < o[i]->params.n; j++)
      o[i]->grad[j] = t_binary(e, &plain, limit, OP_mul, o[i]->grad[j], factor);
  return norm;
}

/* Runs the optimizer's `each` block for every parameter of an objective. */
static void optimize(Step *s, Objective *o) {
  Elab *e = s->e;
  Frame *f = o->frame;
  Frame plain = *s->f; /* an optimizer is written in the section's scope, and is no field of a probe */
  const Ast *at = o->optimizer_at;
  Value opt = at ? eval(e, &plain, at) : call_library(e, &plain, o->at, "probe_optimizer", NULL, 0);
  if (!at) at = o->at;
  if (opt.kind != V_MODULE || !opt.u.module->each)
    elab_error(e, f, at, "`optimizer` must be an optimizer such as adamw(...), but is %s",
               value_text(e, opt));
  Module *m = opt.u.module;
  Value *lr = o == s->objectives.v ? vars_find(&m->args, word(e, "lr")) : NULL;
  if (lr) add_metric(s, "lr", metric_value(e, &plain, at, *lr, "lr"));
  for (int i = 0; i < o->params.n; i++) {
    State *p = o->params.v[i];
    Frame *body = frame_new(e, s->f, m->decl, m, m->site);
    body->param = p;
    vars_set(e, &body->vars, m->each->word, (Value){.kind = V_STATE, .u.state = p}, m->each);
    vars_set(e, &body->vars, m->each->name, o->grad[i], m->each);
    Val before = p->value;
    exec_block(e, body, m->each->kid[0]);
    if (body->failed) diag_throw(e->diags);
    move_with_last(s, p, before);
    for (int k = 0; k < body->vars.n; k++) {
      const Value *v = &body->vars.v[k].v;
      if (v->kind != V_STATE || v->u.state->kind != IN_SLOT) continue;
      move_with_last(s, v->u.state, v->u.state->input);
      vec_push(e->arena, &s->states, v->u.state);
    }
  }
}

/* Gradients, clipping and updates of all objectives; metrics `lr` and `grad_norm` of the main one. */
static void optimize_all(Step *s) {
  Elab *e = s->e;
  int n = s->objectives.n, nmain = 0;
  Objective *o = s->objectives.v, **main = NEWN(e->arena, Objective *, n);
  for (int i = 0; i < n; i++) {
    differentiate(s, &o[i]);
    if (o[i].shared) main[nmain++] = &o[i];
  }
  Value norm = clip(s, main, nmain, o[0].clip);
  for (int i = 0; i < n; i++) {
    Objective *one = &o[i];
    if (!one->shared && one->clip) clip(s, &one, 1, one->clip);
    optimize(s, one);
    if (i == 0) add_metric(s, "grad_norm", norm.u.val);
  }
}

/* Averages read what the optimizer made. */
static void average(Step *s) {
  Elab *e = s->e;
  for (int i = 0; i < e->averages.n; i++) {
    Average *a = &e->averages.v[i];
    Value decay = eval(e, a->frame, a->decay);
    if (decay.kind == V_NUM && !(decay.u.num >= 0 && decay.u.num <= 1))
      elab_error(e, a->frame, a->decay, "the decay must be in 0..1, but is %.10g", (double)decay.u.num);
    if (decay.kind != V_NUM && decay.kind != V_TENSOR)
      elab_error(e, a->frame, a->decay, "the decay must be a number or a schedule, but is %s",
                 value_text(e, decay));
    for (int k = 0; k < a->pairs.n; k++) {
      State *p = a->pairs.v[k].v.u.state;
      Value v[3] = {v_tensor(state_value(e, a->frame, a->decay, p)),
                    v_tensor(state_value(e, a->frame, a->decay, p->source)), decay};
      p->value = call_library(e, a->frame, a->decay, "ema_step", v, 3).u.val;
      move_with_last(s, p, v[0].u.val);
    }
  }
}

static void check_best(Elab *e, const Recipe *r) {
  const char *names[MAX_NAMES];
  int n = 0;
  for (int i = 0; i < e->g->outputs.n && n < MAX_NAMES; i++) names[n++] = e->g->outputs.v[i].name;
  for (int i = 0; i < n; i++)
    if (!strcmp(names[i], r->validate.best)) return;
  diag_error(e->diags, r->validate.best_loc, "there is no metric `%s`%s", r->validate.best,
             did_you_mean(e, r->validate.best, names, n));
  diag_throw(e->diags);
}

static void build_step(Elab *e, const Request *q) {
  Model *m = e->m;
  Step s = {.e = e};
  if (!m->train) {
    diag_error(e->diags, NULL, "%s has no train section", m->files.v[0]->path);
    diag_throw(e->diags);
  }
  Frame start = {.src = m->train->src, .what = m->train->name, .training = true};
  e->parts = recipe_parts(e, &start);
  e->accumulate = e->parts * recipe_accumulate(e, &start);
  e->root = elab_root(e, &start);
  StateVec all = {0};
  collect_states(e, v_module(e->root), &all);
  force_states(&s, &all);
  s.f = train_frame(e);
  if (q->bind_data && !train_setting(e, "data"))
    elab_error(e, NULL, m->train, "the train section lacks `data = ...`");
  e->entry_args = !q->bind_data;
  if (q->bind_data) eval_binds(e, s.f);
  losses_and_metrics(&s, q->bind_data, q->bind_data);
  Vars extra = s.metrics;
  s.metrics = (Vars){0};
  for (int i = 0; i < s.states.n && e->accumulate > 1; i++) {
    State *b = s.states.v[i];
    if (b->kind == IN_BUFFER && b->input >= 0 && b->value != b->input) parts_chain(e, b);
  }
  begin_accumulation(&s);
  optimize_all(&s);
  average(&s);
  g_output(e->g, "loss", mean_loss(&s, &s.objectives.v[0]), -1);
  for (int i = 0; i < s.metrics.n; i++) g_output(e->g, s.metrics.v[i].name, s.metrics.v[i].v.u.val, -1);
  if (q->bind_data) lint_step(e, s.f, &extra);
  for (int i = 0; i < extra.n; i++) {
    Val v = extra.v[i].v.u.val;
    g_output(e->g, extra.v[i].name, e->accumulate > 1 ? parts_mean(e, v) : v, -1);
  }
  for (int i = 1; i < s.objectives.n; i++) {
    if (s.objectives.v[i].loss == s.objectives.v[0].loss) continue; /* a group of parameters */
    g_output(e->g, arena_printf(e->arena, "%sloss", s.objectives.v[i].name),
             mean_loss(&s, &s.objectives.v[i]), -1);
  }
  output_updates(e, &s.states);
  if (m->opt.ranks > 1 && e->parts == 1) e->g->ranks = m->opt.ranks;
  if (m->opt.ranks > 1 && m->opt.spread) e->g->spread = m->opt.ranks;
  if (m->recipe->validate.every > 0) check_best(e, m->recipe);
}

static void build_validation(Elab *e, const Request *q) {
  Step s = {.e = e};
  Frame start = {.src = e->m->train->src, .what = e->m->train->name};
  (void)q;
  e->accumulate = recipe_accumulate(e, &start);
  e->parts = 1;
  e->root = elab_root(e, &start);
  collect_states(e, v_module(e->root), &s.states);
  s.f = train_frame(e);
  eval_binds(e, s.f);
  losses_and_metrics(&s, false, true);
  g_output(e->g, "loss", s.objectives.v[0].loss, -1);
  for (int i = 0; i < s.metrics.n; i++) g_output(e->g, s.metrics.v[i].name, s.metrics.v[i].v.u.val, -1);
  for (int i = 1; i < s.objectives.n; i++)
    if (s.objectives.v[i].loss != s.objectives.v[0].loss)
      g_output(e->g, arena_printf(e->arena, "%sloss", s.objectives.v[i].name), s.objectives.v[i].loss, -1);
  check_best(e, e->m->recipe);
}

static Graph *build(Model *m, Diags *d, const char *name, bool training, void (*fn)(Elab *, const Request *),
                    const Request *q) {
  Elab *e = NEW(m->arena, Elab);
  Graph *g = graph_new(m->arena, name);
  if (m->recipe && dtype_is_narrow(m->recipe->precision)) g->precision = m->recipe->precision;
  elab_start(e, m, d, g, training);
  jmp_buf env, *saved = *diags_trap(d);
  *diags_trap(d) = &env;
  bool ok = false;
  if (!setjmp(env)) {
    fn(e, q);
    if (!e->failed) lint_warn(m, d);
    ok = !e->failed;
  }
  *diags_trap(d) = saved;
  return ok ? g : NULL;
}

Graph *frontend_entry(Model *m, Diags *d, const char *entry, bool train, bool grad) {
  Request q = {.entry = entry, .grad = grad};
  return build(m, d, entry, train, build_entry, &q);
}

Graph *frontend_validation(Model *m, Diags *d) {
  Request q = {0};
  return build(m, d, "validation", false, build_validation, &q);
}

Graph *frontend_train_step(Model *m, Diags *d, bool bind_data) {
  Request q = {.bind_data = bind_data};
  return build(m, d, "train_step", true, build_step, &q);
}
