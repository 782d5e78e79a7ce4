/* Settings that a training step does not use. Elaboration follows every argument written in the train section
   or given by --set: it is used when a body reads the parameter it is bound to, or when what it is handed on
   to is. Requirements and `ignored` conditions are no use. Data sources are read by the runtime, so all of
   their settings count but those that serve fields nobody reads (`field ... from`). */
#include "frontend/lint.h"

#include <math.h>
#include <string.h>

static bool inside(const Ast *a, const Ast *whole) {
  return whole && a->src == whole->src && a->begin >= whole->begin && a->end <= whole->end;
}

static bool by_set(const Elab *e, const Ast *a) {
  for (int i = 0; i < e->m->given.n; i++)
    if (e->m->given.v[i]->src == a->src) return true;
  return false;
}

static Use *argument(Elab *e, const Ast *a) {
  Model *m = e->m;
  if (!inside(a, m->train) && !by_set(e, a)) return NULL;
  for (int i = 0; i < m->settings.n; i++)
    if (m->settings.v[i]->at == a) return m->settings.v[i];
  Use *u = NEW(m->arena, Use);
  u->at = a;
  vec_push(m->arena, &m->settings, u);
  return u;
}

static Use *handed_on(const Frame *f, const Ast *a) {
  if (a && a->kind == AST_ARG) a = a->kid[0];
  const Var *var = a && a->kind == AST_NAME ? frame_var(f, a->name) : NULL;
  return var && !var->ignored ? var->use : NULL;
}

/* Says what it says everywhere. */
static bool literal(const Ast *a) {
  if (!a) return true;
  if (a->kind == AST_NAME && !name_is(a->name, "true") && !name_is(a->name, "false") &&
      !name_is(a->name, "none"))
    return false;
  for (int i = 0; i < a->nkid; i++)
    if (!literal(a->kid[i])) return false;
  return true;
}

static bool is_default(Elab *e, Frame *f, const Ast *p, Value v) {
  return p->kid[1] && literal(p->kid[1]) && value_equal(e, v, eval(e, f, p->kid[1]));
}

static void bound(Elab *e, Frame *f, Use *u, const Ast *p, const char *whose) {
  Var *var = vars_find_var(&f->vars, p->name);
  var->use = u;
  if (!u) return;
  if (!u->param) {
    u->param = p;
    u->callee = whose;
    u->is_default = is_default(e, f, p, var->v);
  }
  /* what a graph computes with is no setting */
  ValueKind k = var->v.kind;
  if (k == V_TENSOR || k == V_EMPTY || k == V_STATE || k == V_MODULE || k == V_RECORD || p->num)
    u->read = true;
}

static void read_setting(Elab *e, const Var *var) {
  if (var->use && !var->ignored && !e->silent) var->use->read = true;
}

static void applied(Elab *e, const Arg *arg, int n) {
  for (int i = 0; i < n; i++)
    if (arg[i].use && !e->silent) arg[i].use->read = true;
}

/* ---- ignored NAME, ... if CONDITION ---- */

static const Ast *param_of(const Ast *decl, const char *name) {
  for (int i = 1; decl && i < decl->nkid; i++)
    if (decl->kid[i]->name == name) return decl->kid[i];
  return NULL;
}

/* Whether what the condition depends on is written out where the settings are. */
static bool decided_there(const Frame *f, const Ast *condition) {
  if (!condition) return true;
  if (condition->kind == AST_NAME) {
    const Var *var = frame_var(f, condition->name);
    return !var || !var->at || var->at->kind == AST_PARAM ||
           (var->at->kind == AST_ARG && literal(var->at->kid[0]));
  }
  for (int i = 0; i < condition->nkid; i++)
    if (!decided_there(f, condition->kid[i])) return false;
  return true;
}

static const char *source_of(Elab *e, const Ast *a) {
  return arena_printf(e->arena, "%.*s", a->end - a->begin, a->src->text + a->begin);
}

static const char *ignored_text(Elab *e, const char *name, const char *whose, const Ast *rule) {
  return arena_printf(e->arena, "`%s` of %s has no effect if `%s`", name, whose, source_of(e, rule->kid[0]));
}

static void ignored(Elab *e, Frame *f, const Ast *a) {
  e->silent++;
  bool holds = need_bool(e, f, a->kid[0], eval(e, f, a->kid[0]), "a condition");
  e->silent--;
  for (int i = 1; i < a->nkid; i++) {
    Var *var = frame_var(f, a->kid[i]->name);
    if (!var || !var->at) elab_error(e, f, a->kid[i], "there is no setting `%s`", a->kid[i]->name);
    if (!holds) continue;
    var->ignored = a;
    const Ast *decl = f->self ? f->self->decl : NULL, *p = param_of(decl, var->name);
    if (var->use) {
      if (!var->use->ignored) var->use->ignored = a;
    } else if (var->at->kind == AST_ARG && !is_library(e->m, var->at->src) && decided_there(f, a->kid[0]) &&
               p && !is_default(e, f, p, var->v)) {
      elab_report(e, f->caller, var->at, "%s", ignored_text(e, var->name, decl->name, a));
      diag_note(e->diags, ast_loc(e, a), "it is ignored here");
      diag_note(e->diags, ast_loc(e, p), "`%s` is declared here", var->name);
      diag_throw(e->diags);
    }
  }
}

const Watch lint_watch = {argument, handed_on, bound, read_setting, applied, ignored};

/* ---- data ---- */

/* The fields that a setting serves, as words; *none: it serves only fields that nobody reads. */
static const char *served_fields(Elab *e, const Ast *source, const char *setting, bool *none) {
  const Ast *body = source->kid[0];
  const char *text = "";
  bool any = false, read = false;
  for (int i = 0; i < body->nkid; i++) {
    const Ast *k = body->kid[i];
    if (k->kind != AST_DECL_FIELD) continue;
    for (int j = 1; j < k->nkid; j++) {
      if (k->kid[j]->name != setting) continue;
      text = arena_printf(e->arena, "%s%sdata.%s", text, any ? ", " : "", k->name);
      any = true;
      read = read || g_find_input(e->g, arena_printf(e->arena, "data.%s", k->name)) >= 0;
    }
  }
  *none = any && !read;
  return text;
}

static void read_augmentations(Elab *e, Value v) {
  for (int i = 0; v.kind == V_LIST && i < v.u.list->n; i++) {
    const Module *m = v.u.list->v[i].kind == V_MODULE ? v.u.list->v[i].u.module : NULL;
    for (int k = 0; m && k < m->args.n; k++) read_setting(e, &m->args.v[k]);
  }
}

static void check_data(Elab *e, const Module *source) {
  for (int i = 0; i < source->args.n; i++) {
    const Var *var = &source->args.v[i];
    bool none;
    const char *fields = served_fields(e, source->decl, var->name, &none);
    read_augmentations(e, var->v);
    if (!none || !var->use || var->use->read || var->use->is_default) {
      read_setting(e, var);
      continue;
    }
    var->use->read = true; /* reported here */
    const Ast *at = var->use->at;
    if (by_set(e, at->kid[0])) at = at->kid[0];
    diag_report(e->diags, e->m->given.n && !by_set(e, at) ? DIAG_WARNING : DIAG_ERROR, ast_loc(e, at),
                "`%s` of %s has no effect: nothing reads %s", var->name, source->decl->name, fields);
    diag_note(e->diags, ast_loc(e, param_of(source->decl, var->name)), "`%s` is declared here", var->name);
  }
}

/* ---- settings ---- */

static bool idle(const Use *u) { return u->param && !u->read && !u->is_default; }

static bool any_idle(const Model *m) {
  for (int i = 0; i < m->settings.n; i++)
    if (idle(m->settings.v[i])) return true;
  return false;
}

static void check_settings(Elab *e) {
  Model *m = e->m;
  if (any_idle(m)) lint_entries(e); /* other entries may use what the step does not */
  for (int i = 0; i < m->settings.n; i++) {
    const Use *u = m->settings.v[i];
    if (!idle(u)) continue;
    /* what the file says may have lost its effect by what --set says */
    const Ast *at = by_set(e, u->at->kid[0]) ? u->at->kid[0] : u->at;
    DiagKind kind = m->given.n && !by_set(e, at) ? DIAG_WARNING : DIAG_ERROR;
    const char *name = u->param->name;
    if (u->ignored) {
      diag_report(e->diags, kind, ast_loc(e, at), "%s", ignored_text(e, name, u->callee, u->ignored));
      diag_note(e->diags, ast_loc(e, u->ignored), "it is ignored here");
    } else {
      diag_report(e->diags, kind, ast_loc(e, at),
                  "`%s` of %s has no effect: with these settings nothing reads it", name, u->callee);
    }
    diag_note(e->diags, ast_loc(e, u->param), "`%s` is declared here", name);
  }
}

static void check_binds(Elab *e) {
  Model *m = e->m;
  for (int i = 0; i < e->binds.n; i++) {
    const Var *b = &e->binds.v[i];
    if (!b->use || b->use->read) continue;
    diag_error(e->diags, ast_loc(e, b->at),
               "`%s` is bound, but no entry that this section evaluates takes it", b->name);
    for (int n = 0; n < m->entries.n; n++) {
      const Ast *p = param_of(m->entries.v[n], b->name);
      if (p)
        diag_note(e->diags, ast_loc(e, p), "entry `%s` takes it, but is not evaluated",
                  m->entries.v[n]->name);
    }
  }
}

static void check_length(Elab *e) {
  const Ast *epochs = train_setting(e, "epochs"), *steps = train_setting(e, "steps");
  if (!epochs || !steps || (by_set(e, steps) && !by_set(e, epochs))) return;
  diag_error(e->diags, ast_loc(e, epochs), "`epochs` has no effect: `steps` says how long the run is");
  diag_note(e->diags, ast_loc(e, steps), "`steps` is given here");
}

/* ---- monitors ---- */

/* Whether v is the same in every step. */
static bool constant(Elab *e, Val v) {
  bool *mark = NEWN(e->arena, bool, v + 1);
  mark[v] = true;
  for (; v >= 0; v--) {
    const Node *n = g_node(e->g, v);
    if (mark[v] && n->op == OP_input) return false;
    for (int i = 0; mark[v] && i < n->nin; i++) mark[n->in[i]] = true;
  }
  return true;
}

/* Whether the run ends before the monitor begins; *length: the setting that says so, or NULL. */
static bool too_late(Elab *e, const Monitor *w, const Ast **length) {
  const Recipe *r = e->m->recipe;
  *length = NULL;
  if (w->unit == UNIT_PERCENT) return w->after >= 100;
  bool steps = r->steps > 0;
  const Ast *at = train_setting(e, steps ? "steps" : "epochs");
  if (!at || by_set(e, at) || (w->unit == UNIT_STEPS) != steps) return false;
  *length = at;
  return w->after >= (double)(steps ? r->steps : r->epochs);
}

static void check_monitors(Elab *e, const Vars *metrics) {
  const Recipe *r = e->m->recipe;
  for (int i = 0; i < r->nmonitor; i++) {
    const Monitor *w = &r->monitor[i];
    const char *name = arena_printf(e->arena, "monitor.%s", w->name);
    const Ast *length;
    Value *v = NULL;
    for (int k = 0; k < metrics->n; k++)
      if (name_is(metrics->v[k].name, name)) v = &metrics->v[k].v;
    if (isinf(w->lo) && w->lo < 0 && isinf(w->hi) && w->hi > 0)
      diag_error(e->diags, w->loc, "monitor `%s` cannot trip: no number leaves -inf..inf", w->name);
    else if (too_late(e, w, &length)) {
      diag_error(e->diags, w->loc, "monitor `%s` cannot trip: the run ends before it begins", w->name);
      if (length) diag_note(e->diags, ast_loc(e, length), "how long the run is");
    } else if (v && constant(e, v->u.val))
      diag_error(e->diags, w->loc, "monitor `%s` watches a value that is the same in every step", w->name);
  }
}

void lint_entry(Elab *e) {
  int before = diags_errors(e->diags);
  if (e->m->train || e->m->linting) return; /* the training step tells */
  check_settings(e);
  if (diags_errors(e->diags) > before) diag_throw(e->diags);
}

void lint_step(Elab *e, Frame *f, const Vars *metrics) {
  int before = diags_errors(e->diags);
  const Value *data = vars_find(&f->vars, word(e, "data"));
  if (data) check_data(e, data->u.module);
  check_settings(e);
  check_binds(e);
  check_length(e);
  check_monitors(e, metrics);
  if (diags_errors(e->diags) > before) diag_throw(e->diags);
}
