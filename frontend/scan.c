/* `scan x in xs { }`: one operator instead of rounds that are written out. The body is run once, on what stands for
   any of the steps; what it leaves behind is tied together (ir/graph/loops.h). Variables that it gives new values are
   handed on from step to step, `collect ys = y` puts those of all steps together. */
#include "frontend/elab.h"
#include "ir/graph/loops.h"

#include <string.h>

struct Scan {
  Scan *outer;
  Frame *frame;
  const Ast *at;
  Ints path;
  int64_t steps;     /* 0: nothing has told yet */
  const char *first; /* what told */
  Vars collected;    /* values of the body */
  StateVec states;   /* of stacked modules */
};

static void same_steps(Elab *e, Frame *f, const Ast *at, Scan *s, int64_t steps, const char *what) {
  if (s->steps && s->steps != steps)
    elab_error(e, f, at, "a scan goes through %s and %s together, which have %lld and %lld steps", s->first,
               what, (long long)s->steps, (long long)steps);
  if (!s->steps) s->first = what;
  s->steps = steps;
}

/* ---- what the loop runs over ---- */
/* Looks at it before anything is made of it, so that all agree on the number of steps. */
static void count_steps(Elab *e, Frame *f, const Ast *at, Scan *s, Value v) {
  const char *text = value_text(e, v);
  elab_enter(e);
  if (v.kind == V_LIST) {
    for (int i = 0; i < v.u.list->n; i++) count_steps(e, f, at, s, v.u.list->v[i]);
  } else if (v.kind == V_NUM) {
    int64_t n = need_int(e, f, at, v, "the number of steps");
    if (n < 1) elab_error(e, f, at, "a scan has at least one step, not %lld", (long long)n);
    same_steps(e, f, at, s, n, text);
  } else if (v.kind == V_MODULE && v.u.module->stack) {
    same_steps(e, f, at, s, v.u.module->stack, text);
  } else if (v.kind == V_TENSOR || v.kind == V_STATE) {
    const Shape *shape = &t_type(e, need_tensor(e, f, at, v, "what a scan runs over"))->shape;
    if (!shape->rank) elab_error(e, f, at, "a scan runs along the first axis, but %s has none", text);
    same_steps(e, f, at, s, shape->dim[0], text);
  } else {
    elab_error(e, f, at,
               "a scan runs over a tensor, a number of steps, a stack of modules or a list of them, not %s%s",
               text, v.kind == V_MODULE ? " (`stacked(n, module)` makes one)" : "");
  }
  elab_leave(e);
}

static Val part_of(Elab *e, Frame *f, const Ast *at, const Ints *path, Val v) {
  Ints attr[2] = {*path, {0}};
  return t_node(e, f, at, OP_scan_in, &v, 1, attr, 0, DT_NONE, NULL);
}

/* What the loop variable is in a step. */
static Value step_of(Elab *e, Frame *f, const Ast *at, Scan *s, Value v) {
  if (v.kind == V_LIST) {
    Value l = v_list(e, v.u.list->n);
    for (int i = 0; i < v.u.list->n; i++) l.u.list->v[i] = step_of(e, f, at, s, v.u.list->v[i]);
    return l;
  }
  if (v.kind == V_MODULE) {
    int from = s->states.n;
    collect_states(e, v, &s->states);
    for (int i = from; i < s->states.n; i++) {
      if (s->states.v[i]->scan)
        elab_error(e, f, at, "%s is gone through by the scan around this one already", value_text(e, v));
      s->states.v[i]->scan = s;
    }
    return v;
  }
  if (v.kind == V_NUM) {
    Ints axis = ints1(0);
    v = v_tensor(t_node(e, f, at, OP_iota, NULL, 0, &axis, 0, DT_I64, &(Shape){1, {s->steps}}));
  }
  return v_tensor(part_of(e, f, at, &s->path, need_tensor(e, f, at, v, "what a scan runs over")));
}

Val scan_state(Elab *e, State *s) {
  if (s->part < 0) s->part = g_scan_in(e->g, s->value, &s->scan->path, false);
  return s->part;
}

Val scan_draw(Elab *e, Frame *f, const Ast *at, const Shape *s, Val (*draw)(Elab *, const Shape *, void *),
              void *of) {
  enum { DEEPEST = MAX_RANK + 1 };
  const Scan *level[DEEPEST];
  int n = 0;
  for (const Scan *x = e->scan; x && n < DEEPEST; x = x->outer) level[n++] = x;
  if (n + s->rank > MAX_RANK) elab_error(e, f, at, "at most %d axes are supported", MAX_RANK);
  Shape all = {.rank = n};
  for (int i = 0; i < n; i++) all.dim[i] = level[n - 1 - i]->steps;
  for (int i = 0; i < s->rank; i++) all.dim[all.rank++] = s->dim[i];
  Val v = draw(e, &all, of);
  for (int i = n - 1; i >= 0; i--) v = part_of(e, f, at, &level[i]->path, v);
  return v;
}

/* ---- variables that the body gives values ---- */
typedef VEC(const char *) Names;

static void assigned(Elab *e, const Ast *a, Names *out) {
  const char *one = a->kind == AST_COLLECT ? a->name : NULL;
  for (int i = a->kind == AST_ASSIGN ? 1 : a->nkid; one || i < a->nkid; i++) {
    const char *name = one ? one : a->kid[i]->name;
    int k = 0;
    while (k < out->n && out->v[k] != name) k++;
    if (k == out->n) vec_push(e->arena, out, name);
    if (one) break;
  }
  if (a->kind == AST_BLOCK || a->kind == AST_IF || a->kind == AST_REPEAT)
    for (int i = 0; i < a->nkid; i++) assigned(e, a->kid[i], out);
}

typedef struct {
  const char *name;
  Val carry;
} Carry;

static Carry carry_new(Elab *e, Frame *f, const Ast *at, const Scan *s, const char *name, int index) {
  const Var *var = vars_find_var(&f->vars, name);
  Value v = var->v;
  if (v.kind == V_WRONG) diag_throw(e->diags);
  if (v.kind != V_TENSOR && v.kind != V_STATE) {
    elab_report(e, f, at, "the steps of this scan hand on `%s`, which must be a tensor, but is %s", name,
                value_text(e, v));
    diag_note(e->diags, elab_loc(e, f, var->at), "`%s` has this value before the first step", name);
    diag_throw(e->diags);
  }
  Val init = need_tensor(e, f, at, v, "what the steps hand on");
  Ints attr[3] = {s->path, ints1(index), ints1(s->steps)};
  Val c = t_node(e, f, var->at, OP_scan_carry, &init, 1, attr, 0, DT_NONE, NULL);
  vars_set(e, &f->vars, name, v_tensor(c), var->at);
  return (Carry){name, c};
}

/* The last statement of a block that gives the variable a value. */
static const Ast *assignment(const Ast *a, const char *name) {
  const Ast *last = NULL;
  for (int i = 1; a->kind == AST_ASSIGN && i < a->nkid; i++)
    if (a->kid[i]->name == name) last = a->kid[i];
  if (a->kind == AST_COLLECT && a->name == name) last = a;
  if (a->kind == AST_BLOCK || a->kind == AST_IF || a->kind == AST_REPEAT)
    for (int i = 0; i < a->nkid; i++) {
      const Ast *in = assignment(a->kid[i], name);
      if (in) last = in;
    }
  return last;
}

static Val carry_end(Elab *e, Frame *f, const Scan *s, const Carry *c) {
  Var of = *vars_find_var(&f->vars, c->name), *var = &of;
  var->at = assignment(s->at->kid[1], c->name);
  if (var->v.kind == V_WRONG) diag_throw(e->diags);
  Value was = v_tensor(c->carry);
  if (var->v.kind != V_TENSOR && var->v.kind != V_STATE)
    elab_error(e, f, var->at, "`%s` is %s before the first step of the scan, but %s after it", c->name,
               value_text(e, was), value_text(e, var->v));
  Val v = need_tensor(e, f, var->at, var->v, "what the steps hand on");
  const Node *a = t_type(e, c->carry), *b = t_type(e, v);
  if (a->dt != b->dt || !shape_eq(&a->shape, &b->shape)) {
    elab_report(e, f, var->at, "`%s` is %s before the first step of the scan, but %s after it", c->name,
                value_text(e, was), value_text(e, v_tensor(v)));
    elab_note_value(e, was, "the value before");
    diag_note(e->diags, elab_loc(e, f, s->at), "every step of this scan hands `%s` on to the next", c->name);
    diag_throw(e->diags);
  }
  return t_node(e, f, var->at, OP_scan_next, (Val[]){c->carry, v}, 2, NULL, 0, DT_NONE, NULL);
}

/* ---- the statements ---- */
void exec_collect(Elab *e, Frame *f, const Ast *a) {
  Scan *s = e->scan;
  if (!s || s->frame != f) elab_error(e, f, a, "`collect` belongs in the body of a `scan`");
  Value v = eval(e, f, a->kid[0]);
  Val x = need_tensor(e, f, a->kid[0], v, "what is collected");
  if (vars_find(&s->collected, a->name)) elab_error(e, f, a, "`%s` is collected twice", a->name);
  if (vars_find(&f->vars, a->name) && vars_find(&f->vars, a->name)->kind == V_TENSOR)
    elab_error(e, f, a, "`%s` is a variable already, and `collect` makes one", a->name);
  vars_set(e, &s->collected, a->name, v_tensor(x), a);
}

static void leave(Elab *e, Scan *s) {
  for (int i = 0; i < s->states.n; i++) {
    s->states.v[i]->scan = NULL;
    s->states.v[i]->part = -1;
  }
  e->scan = s->outer;
}

void exec_scan(Elab *e, Frame *f, const Ast *a) {
  if (f->fields) elab_error(e, f, a, "`scan` belongs in a function");
  Value over = eval(e, f, a->kid[0]);
  Scan *s = NEW(e->arena, Scan);
  *s = (Scan){.outer = e->scan, .frame = f, .at = a};
  count_steps(e, f, a->kid[0], s, over);
  if (!s->steps) elab_error(e, f, a->kid[0], "an empty list has no number of steps");
  if (e->scan) s->path = e->scan->path;
  if (s->path.n == MAX_RANK) elab_error(e, f, a, "scans nest too deeply");
  int64_t number = graph_new_loop(e->g);
  if (s->path.n && number <= s->path.v[s->path.n - 1]) number = s->path.v[s->path.n - 1] + 1;
  s->path.v[s->path.n++] = number;

  Names names = {0};
  assigned(e, a->kid[1], &names);
  int before = f->vars.n, ncarry = 0;
  Carry *carry = NEWN(e->arena, Carry, names.n + 1);
  for (int i = 0; i < names.n; i++)
    if (names.v[i] != a->name && vars_find(&f->vars, names.v[i])) {
      carry[ncarry] = carry_new(e, f, a, s, names.v[i], ncarry);
      ncarry++;
    }
  const Var *hidden = vars_find_var(&f->vars, a->name);
  Value saved = hidden ? hidden->v : v_none();
  const Ast *saved_at = hidden ? hidden->at : NULL;
  e->scan = s;
  Value step = step_of(e, f, a->kid[0], s, over);
  vars_set(e, &f->vars, a->name, step, a);
  note_value(e, a, step);
  exec_block(e, f, a->kid[1]);
  if (f->returned) elab_error(e, f, a, "the body of a scan cannot return: a step does not end the loop");
  if (f->failed) diag_throw(e->diags);
  leave(e, s);
  Val *last = NEWN(e->arena, Val, ncarry + 1);
  for (int i = 0; i < ncarry; i++) last[i] = carry_end(e, f, s, &carry[i]);
  for (int i = 0; i < ncarry; i++) {
    const Ast *at = vars_find_var(&f->vars, carry[i].name)->at;
    vars_set(e, &f->vars, carry[i].name, v_tensor(last[i]), at);
  }
  if (saved_at) vars_set(e, &f->vars, a->name, saved, saved_at);
  f->vars.n = before; /* the body's own variables end with it */
  for (int i = 0; i < s->collected.n; i++) {
    const Var *c = &s->collected.v[i];
    Ints attr[3] = {s->path, ints1(s->steps), {0}};
    Val all = t_node(e, f, c->at, OP_scan_out, &c->v.u.val, 1, attr, 0, DT_NONE, NULL);
    vars_set(e, &f->vars, c->name, v_tensor(all), c->at);
    note_value(e, c->at, v_tensor(all));
  }
}

/* ---- stacked modules ---- */
static void stack_modules(Elab *e, Value v, int64_t n) {
  elab_enter(e);
  if (v.kind == V_MODULE) {
    v.u.module->stack = n;
    for (int i = 0; i < v.u.module->fields.n; i++) stack_modules(e, v.u.module->fields.v[i].v, n);
  } else if (v.kind == V_LIST) {
    for (int i = 0; i < v.u.list->n; i++) stack_modules(e, v.u.list->v[i], n);
  }
  elab_leave(e);
}

Value b_stack(Elab *e, Call *c) {
  int64_t n = need_int(e, c->frame, c->at, c->arg[0], "the number of modules");
  Value v = c->arg[1];
  StateVec states = {0};
  if (n < 1) elab_error(e, c->frame, c->at, "a stack has at least one module, not %lld", (long long)n);
  if (v.kind != V_MODULE)
    elab_error(e, c->frame, c->at, "`stacked` takes a number and a module, not %s", value_text(e, v));
  if (v.u.module->stack) elab_error(e, c->frame, c->at, "%s is a stack already", value_text(e, v));
  collect_states(e, v, &states);
  for (int i = 0; i < states.n; i++) {
    State *s = states.v[i];
    if (s->shape.rank == MAX_RANK)
      elab_error(e, c->frame, c->at, "a state of %d axes cannot be stacked", MAX_RANK);
    if (s->input >= 0) elab_error(e, c->frame, c->at, "`%s` is in use already", s->name);
    memmove(s->shape.dim + 1, s->shape.dim, sizeof *s->shape.dim * (size_t)s->shape.rank++);
    s->shape.dim[0] = n;
    t_fits(e, c->frame, c->at, s->dt, &s->shape);
  }
  stack_modules(e, v, n);
  return v;
}
