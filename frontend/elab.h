/* Elaboration: walks the syntax tree with values known when compiling (numbers, lists, modules) and tensors,
   which are values of the graph under construction. Private to frontend/. */
#ifndef JEPAC_FRONTEND_ELAB_H
#define JEPAC_FRONTEND_ELAB_H

#include "frontend/ast.h"
#include "frontend/frontend.h"

typedef struct Elab Elab;
typedef struct Frame Frame;
typedef struct Module Module;
typedef struct State State;
typedef struct List List;
typedef struct Call Call;
typedef struct Use Use;
typedef struct Lint Lint;
typedef struct Scan Scan;

typedef enum {
  V_NONE,
  V_BOOL,
  V_NUM,
  V_STR,
  V_DTYPE,
  V_RANGE,
  V_LIST,
  V_RECORD, /* list with names: several results */
  V_TENSOR,
  V_EMPTY, /* a tensor without elements, such as x[:, :0]; only concat and shape take it */
  V_STATE,
  V_MODULE, /* instance */
  V_MODEL,  /* declaration of a model, source or optimizer: calling makes an instance */
  V_FUNC,   /* user function, with the instance it belongs to */
  V_BUILTIN,
  V_PRIMS, /* the namespace prim */
  V_PRIM,  /* a primitive operator */
  V_INIT,
  V_WRONG, /* what a statement with an error would have made: reading it throws, without a report of its own */
  V_KINDS
} ValueKind;

typedef struct {
  DType dt;
  Shape shape;
} EmptyTensor;

typedef struct Value {
  ValueKind kind;
  union {
    bool b;
    Imm num;
    const char *str;
    DType dt;
    struct {
      double lo, hi;
    } range;
    const List *list;
    Val val;
    const EmptyTensor *empty;
    State *state;
    Module *module;
    const Init *init;
    struct {
      const Ast *decl;
      Module *self;
    } fn; /* V_MODEL, V_FUNC */
    const struct Builtin *builtin;
    OpId op;
  } u;
} Value;

struct List {
  int n;
  Value *v;
  const char **name; /* V_RECORD */
};

/* A parameter, buffer or slot. Its graph input is made when it is first read, or all at once for a training
   step. */
struct State {
  InputKind kind;
  const char *name; /* NULL until its module has a path */
  DType dt;
  Shape shape;
  Init init;
  const Loc *loc;
  Val input;     /* -1 until read */
  Val value;     /* current value: the input, or what an update made of it */
  State *source; /* copy of this state by ema() */
  Scan *scan;    /* the loop that goes through the stack of which it is a state, and ... */
  Val part;      /* ... its value in a step of that, -1 until read */
};

typedef struct {
  const char *name;
  Value v;
  const Ast *at;      /* where it was given */
  Use *use;           /* the setting it is, or NULL */
  const Ast *ignored; /* the statement that says it has no effect, or NULL */
} Var;
typedef VEC(Var) Vars;

struct Module {
  const Ast *decl;
  const char *path; /* dotted field path, NULL until known */
  Module *scope;    /* enclosing instance whose names are visible (probes, train section) */
  Vars args, fields;
  const Ast *each; /* optimizers: what is done for each parameter */
  bool probe;      /* belongs to a probe, so trains while the model is frozen */
  uint32_t calls;  /* random streams handed out */
  int64_t stack;   /* > 0: it stands for so many that differ in their states */
  const Loc *site;
};

/* An activation: of a function, a model's body, or a section of the train section. */
struct Frame {
  Frame *caller;
  Module *self;
  Module *owner; /* nearest enclosing instance: names random streams */
  Vars vars;
  const Loc *site;  /* call site: the up of every position below; for library code the position itself */
  const char *what; /* "Linear" for messages */
  bool library;     /* code of frontend/std */
  bool training;
  bool fields;       /* assignments make fields of self */
  bool record;       /* results keep their names even when there is one (entries) */
  const Ast *block;  /* being run */
  const Source *src; /* decides which dimensions are visible */
  State *param;      /* the parameter an optimizer's `each` is run for */
  bool failed;       /* a statement had an error */
  bool returned;
  Value result;
};

typedef struct {
  const char *name; /* NULL: positional */
  Value v;
  const Ast *at;
  Use *use; /* the setting it is, or NULL */
} Arg;

/* Arguments of a built-in, in the order of its parameter list; absent ones are V_NONE. */
struct Call {
  Frame *frame;
  const Ast *at;
  Value arg[5];
  const Arg *rest; /* trailing positional arguments of a variadic built-in */
  int nrest;
};

typedef struct Builtin {
  const char *name;
  const char
      *params; /* names separated by blanks; "name?" may be absent, "*" first takes any number of values */
  const char *doc;
  Value (*fn)(Elab *e, Call *c);
} Builtin;

typedef struct {
  Module *module; /* the clone */
  Vars pairs;     /* its states that average */
  const Ast *decay;
  Frame *frame;
} Average;

typedef struct {
  const char *name;
  bool has;
  int64_t value;
  const Ast *decl;           /* dim declaration, or the extent in an entry's argument type */
  VEC(const Source *) files; /* where it is declared */
  const Ast *given;          /* expression that gave the value, or NULL */
  const char *origin;        /* words for a note: "given by --set" */
} Dim;

typedef struct {
  const char *name;
  Value v;
  const Ast *at;
} Global;
typedef struct {
  Global *slot;
  int n, cap;
} Globals;

typedef struct {
  const Ast *at; /* the use declaration */
  const Source *src;
} Used;

struct Model {
  Arena *arena;
  Intern *names;
  FrontendOptions opt;
  const Source *std; /* of the library, which models may share: nothing of it is written to */
  int nstd;
  Globals library, user;
  VEC(Source *) files; /* what has been read, to read each once */
  VEC(Dim) dims;
  const Ast *main; /* the model trained, or the last with entries */
  VEC(const Ast *) entries;
  Ast *train;
  VEC(Ast *) main_args; /* AST_ARG: from the train section and --set */
  const Recipe *recipe;
  /* for the lint */
  VEC(const Ast *) asts; /* of files */
  VEC(Used) uses;
  VEC(Ast *) given; /* the values of --set, in order */
  VEC(Use *) settings;
  Lint *lint;
  bool linting;
};

/* What evaluation tells as it goes of settings, which are arguments written in the train section or given by
   --set. Who listens decides what becomes of them (lint_settings.c); evaluation itself does not depend on it. */
typedef struct {
  Use *(*argument)(Elab *e, const Ast *a); /* the setting that an argument is, or NULL */
  Use *(*handed_on)(const Frame *f,
                    const Ast *a); /* that it hands on, being just a parameter's name, or NULL */
  void (*bound)(Elab *e, Frame *f, Use *u, const Ast *p, const char *whose); /* parameter p of f is now u */
  void (*read)(Elab *e, const Var *var);
  void (*applied)(Elab *e, const Arg *arg, int n);  /* to a built-in function or an operator */
  void (*ignored)(Elab *e, Frame *f, const Ast *a); /* `ignored NAME, ... if CONDITION` */
} Watch;

typedef struct {
  Val input;
  int64_t n; /* its numbers are below */
} Classes;

struct Elab {
  const Watch *watch;
  Model *m;
  Arena *arena;
  Diags *diags;
  Graph *g;
  Scan *scan; /* the innermost loop whose body is being run */
  bool training;
  bool frozen;        /* inside a probe or metric: model instances evaluate as in eval mode */
  int64_t accumulate; /* batches an optimizer step takes; run-time numbers count batches */
  int64_t
      parts; /* so many of them are taken at the same time, by one rank each (frontend/ranks.c); 1: none */
  int depth; /* nested evaluations, and walks through values */
  const Ast *at; /* evaluated last: where a limit is reached */
  int calls;
  int silent; /* reading a setting here does not count as using it */
  int64_t fuel;
  bool failed;          /* a statement had an error, and elaboration went on to find others */
  bool lost;            /* going on would not end */
  uint32_t stray_calls; /* random streams outside any instance */
  VEC(Average) averages;
  /* train section */
  Vars binds;
  VEC(Classes) classes; /* what the data number */
  bool entry_args;      /* entries take arguments of their own instead of binds */
  Vars entry_results;   /* results of the entries called so far */
  Module *root;
};

/* ---- messages ---- */
bool is_library(const Model *m, const Source *src);
const Loc *elab_loc(Elab *e, const Frame *f, const Ast *at);
const Loc *ast_loc(Elab *e, const Ast *at); /* without call site */
void elab_report(Elab *e, const Frame *f, const Ast *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
_Noreturn void elab_error(Elab *e, const Frame *f, const Ast *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* An error after which no other statement is tried. */
_Noreturn void elab_lost(Elab *e, const Frame *f, const Ast *at, const char *text);
/* The --set that reach f, after an error at `at` that stands in none of them. */
void elab_note_settings(Elab *e, const Frame *f, const Ast *at);
/* "`what` is f32[4,10]" where the value was made. */
void elab_note_value(Elab *e, Value v, const char *what);
const char *value_text(Elab *e, Value v);
const char *const *value_kind_names(void);
/* " (did you mean `x`?)" or "". */
const char *did_you_mean(Elab *e, const char *name, const char *const *cand, int n);

/* ---- values ---- */
static inline Value v_none(void) { return (Value){.kind = V_NONE}; }
static inline Value v_num(Imm x) { return (Value){.kind = V_NUM, .u.num = x}; }
static inline Value v_bool(bool b) { return (Value){.kind = V_BOOL, .u.b = b}; }
static inline Value v_str(const char *s) { return (Value){.kind = V_STR, .u.str = s}; }
static inline Value v_tensor(Val t) { return (Value){.kind = V_TENSOR, .u.val = t}; }
static inline Value v_module(Module *m) { return (Value){.kind = V_MODULE, .u.module = m}; }
Value v_list(Elab *e, int n);
bool value_equal(Elab *e, Value a, Value b);
Imm need_num(Elab *e, const Frame *f, const Ast *at, Value v, const char *what);
int64_t need_int(Elab *e, const Frame *f, const Ast *at, Value v, const char *what);
bool need_bool(Elab *e, const Frame *f, const Ast *at, Value v, const char *what);
Val need_tensor(Elab *e, const Frame *f, const Ast *at, Value v, const char *what);
Shape need_shape(Elab *e, const Frame *f, const Ast *at, Value v, const char *what);
/* A number or a list of at most MAX_RANK whole numbers. */
Ints need_ints(Elab *e, const Frame *f, const Ast *at, Value v, const char *what);
Value *vars_find(const Vars *vars, const char *name);
Var *vars_find_var(const Vars *vars, const char *name);
void vars_set(Elab *e, Vars *vars, const char *name, Value v, const Ast *at);

/* ---- evaluation (eval.c, stmt.c) ---- */
/* What evaluation takes is bounded: n more steps (a list's items, a name's length count too), or an error at what is
   being evaluated. */
void elab_spend(Elab *e, int64_t n);
/* A step into a value, which may hold itself many times over; elab_leave goes with it. */
void elab_enter(Elab *e);
static inline void elab_leave(Elab *e) { e->depth--; }
Value eval(Elab *e, Frame *f, const Ast *a);
/* The rounds of a loop as a list: of a list, a range of whole numbers, or a count. */
Value eval_sequence(Elab *e, Frame *f, const Ast *at, Value over);
bool eval_lookup(Elab *e, Frame *f, const char *name, Value *out);
/* The variable, or the field or argument of an enclosing instance, that a name stands for; NULL: neither. */
Var *frame_var(const Frame *f, const char *name);
/* The named field, argument or function of an instance. */
bool module_lookup(Elab *e, const Module *m, const char *name, Value *out);
const char *word(Elab *e, const char *text); /* interned */
Dim *find_dim(Model *m, const char *name);
/* The number an extent of a type denotes; false when it is a name without a value (left to the caller to
   bind). */
bool eval_extent(Elab *e, Frame *f, const Ast *a, int64_t *out);
const Value *globals_find(const Globals *g, const char *name);
Frame *frame_new(Elab *e, Frame *caller, const Ast *decl, Module *self, const Loc *site);
/* Runs a step. After an error in it the others are tried too, so that all errors are reported at once: those that need
   a value which it would have made (V_WRONG) are passed over in silence. False: it failed. */
bool elab_attempt(Elab *e, Frame *f, const Ast *a, void (*step)(Elab *, Frame *, const Ast *, void *),
                  void *of);
void exec_block(Elab *e, Frame *f, const Ast *block);
void exec_statement(Elab *e, Frame *f, const Ast *a);
Value call_value(Elab *e, Frame *f, const Ast *at, Value callee, const Arg *arg, int narg);
/* Calls a library function by name. */
Value call_library(Elab *e, Frame *f, const Ast *at, const char *name, const Value *v, int n);
Value instantiate(Elab *e, Frame *f, const Ast *at, const Ast *decl, const Arg *arg, int narg);
/* Checks v against a parameter's type, binding extents that have no value yet in f; complains at `at` in
   frame caller. Returns v, converted where the type allows it. */
Value check_type(Elab *e, Frame *f, const Frame *caller, const Ast *at, const Ast *type, Value v,
                 const char *what);
Value call_entry(Elab *e, Frame *f, const Ast *at, Module *self, const Ast *decl);
void elab_start(Elab *e, Model *m, Diags *d, Graph *g, bool training);
/* The main model with its settings, paths assigned. */
Module *elab_root(Elab *e, Frame *f);
DType type_dtype(Elab *e, const Frame *f, const Ast *type);

/* ---- what an editor asks (symbols.c) ---- */
void symbols_file(Elab *e, const Ast *file);
void symbols_value(Elab *e, const Ast *at, Value v);
static inline void note_value(Elab *e, const Ast *at, Value v) {
  if (e->m->opt.symbols) symbols_value(e, at, v);
}

/* ---- states (state.c) ---- */
State *state_new(Elab *e, Frame *f, const Ast *decl, const Shape *like);
Val state_value(Elab *e, const Frame *f, const Ast *at, State *s);
void assign_paths(Elab *e, Value v, const char *path);
void assign_field_path(Elab *e, Module *m, const char *name, Value v);
typedef VEC(State *) StateVec;
/* The states of a value in declaration order, each once. */
void collect_states(Elab *e, Value v, StateVec *out);
Value make_average(Elab *e, Frame *f, const Ast *call);
void output_updates(Elab *e, const StateVec *states);
uint32_t stream_of(const char *salt, const char *path, uint32_t call);

/* ---- loops (scan.c) ---- */
void exec_scan(Elab *e, Frame *f, const Ast *a);
void exec_collect(Elab *e, Frame *f, const Ast *a);
Val scan_state(Elab *e, State *s);
/* Random numbers of a shape, others in every step of the loops around: drawn for all steps at once. */
Val scan_draw(Elab *e, Frame *f, const Ast *at, const Shape *s, Val (*draw)(Elab *, const Shape *, void *),
              void *of);
Value b_stack(Elab *e, Call *c);

/* ---- tensors (tensor.c) ---- */
Value t_binary(Elab *e, Frame *f, const Ast *at, OpId op, Value a, Value b);
Value t_map(Elab *e, Frame *f, const Ast *at, OpId op, const Value *v, int n);
Value t_prim(Elab *e, Frame *f, const Ast *at, OpId op, const Arg *arg, int narg);
Value t_matmul(Elab *e, Frame *f, const Ast *at, Value a, Value b);
Value t_index(Elab *e, Frame *f, const Ast *at, Value x);
Value t_cast(Elab *e, Frame *f, const Ast *at, Value x, DType dt);
Val t_scalar(Elab *e, Frame *f, const Ast *at, DType dt, Imm x);
Val t_runtime(Elab *e, const char *name);
/* step, steps_per_epoch or total_steps, which count optimizer steps. */
Val t_steps(Elab *e, const char *name);
Val t_node(Elab *e, Frame *f, const Ast *at, OpId op, const Val *in, int nin, const Ints *attr, Imm imm,
           DType dt, const Shape *shape);
const Node *t_type(const Elab *e, Val v);
/* Reports inputs and states larger than any tensor can be. */
void t_fits(Elab *e, Frame *f, const Ast *at, DType dt, const Shape *s);
const char *shape_text(Elab *e, DType dt, const Shape *s);

/* ---- built-in functions (builtin.c) ---- */
const Builtin *builtin_find(const char *name);
const Builtin *builtin_at(int i); /* NULL past the last */
int builtin_names(const char **out, int max);
bool builtin_constant(const char *name, Value *out);

/* ---- recipe (recipe.c) ---- */
const Recipe *recipe_build(Elab *e);
bool is_train_setting(const char *name);
const char *train_setting_name(int i); /* NULL past the last */
/* Batches whose gradients one optimizer step averages. */
int64_t recipe_accumulate(Elab *e, Frame *f);

/* ---- ranks.c: each rank with a batch of its own ---- */
int64_t recipe_parts(Elab *e, Frame *f); /* 1: the graph is that of the whole batch */
Val parts_rank(Elab *e);
/* old: what earlier batches of the step came to, -1: there are none; to it the parts of all ranks are added in turn. */
Val parts_sum(Elab *e, Val part, Val old);
Val parts_mean(Elab *e, Val v);
/* The buffer's new value, as if the ranks' batches had come one after the other. */
void parts_chain(Elab *e, State *buffer);

/* The value of a setting of the train section, or NULL. */
const Ast *train_setting(Elab *e, const char *name);
/* The section's frame: batch, data, and the bound values; e->root is the model. */
Frame *train_frame(Elab *e);
/* A field of a data source, as the graph input data.<name>. */
typedef VEC(DataField) DataFields;
/* All fields of a source: those it declares, then the arrays its setting `fields` lists. */
DataFields data_fields(Elab *e, Frame *f, Module *source);
bool data_has_field(Elab *e, const Module *source, const char *name);
Value data_field(Elab *e, Frame *f, const Ast *at, Module *source, const char *name);
/* Evaluates the section's bind clauses into e->binds. */
void eval_binds(Elab *e, Frame *f);
/* The entry whose results are minimized. */
const Ast *main_entry(Elab *e, Frame *f);
/* Finds values for dimensions from the data the train section binds (load.c). */
void derive_dims(Elab *e, Frame *f);

#endif
