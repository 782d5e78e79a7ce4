/* The scalar expression language of the operator table: a recursive-descent parser (one function a grammar
   level) and the f64 evaluator. Trees are parsed once for the process, into an arena that lives as long as it
   does. */
#include "ir/graph/expr.h"

#include "ir/graph/gamma.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

enum { MAX_OPERANDS = 3 };

/* ---- parser ---- */
typedef struct {
  Arena *arena;
  const char *text, *p;
} Parser;

static _Noreturn void parse_bug(const Parser *s, const char *what) {
  bug("operator table: %s at '%s' in \"%s\"", what, s->p, s->text);
}

static bool eat(Parser *s, const char *token) {
  while (*s->p == ' ') s->p++;
  size_t n = strlen(token);
  if (strncmp(s->p, token, n)) return false;
  s->p += n;
  return true;
}

static const Expr *apply(Parser *s, OpId op, const Expr *a, const Expr *b) {
  Expr *e = NEW(s->arena, Expr);
  *e = (Expr){.kind = EX_OP, .op = op, .nin = b ? 2 : 1, .in = {a, b}};
  return e;
}

static const Expr *expression(Parser *s);

/* call = name '(' expression {',' expression} ')' */
static const Expr *call(Parser *s, const char *name) {
  Expr *e = NEW(s->arena, Expr);
  e->kind = EX_OP;
  e->op = op_find(name);
  if (e->op == OP_COUNT || op_table[e->op].kind != KIND_MAP) parse_bug(s, "unknown function");
  do {
    if (e->nin == MAX_OPERANDS) parse_bug(s, "too many operands");
    e->in[e->nin++] = expression(s);
  } while (eat(s, ","));
  if (!eat(s, ")") || e->nin != op_table[e->op].nin) parse_bug(s, "malformed call");
  return e;
}

/* primary = number | 'a' | 'b' | 'c' | 'y' | 'g' | call | '(' expression ')' */
static const Expr *primary(Parser *s) {
  if (eat(s, "(")) {
    const Expr *e = expression(s);
    if (!eat(s, ")")) parse_bug(s, "missing ')'");
    return e;
  }
  Expr *e = NEW(s->arena, Expr);
  if (isdigit((unsigned char)*s->p)) {
    char *end;
    e->kind = EX_NUM;
    e->num = strtod(s->p, &end);
    s->p = end;
    return e;
  }
  char name[32];
  size_t n = 0;
  while ((isalnum((unsigned char)*s->p) || *s->p == '_') && n + 1 < sizeof name) name[n++] = *s->p++;
  name[n] = 0;
  if (eat(s, "(")) return call(s, name);
  const char *names = "abcyg", *at = n == 1 ? strchr(names, name[0]) : NULL;
  if (!at) parse_bug(s, "unknown name");
  e->kind = EX_ARG;
  e->arg = (int)(at - names);
  return e;
}

/* unary = '-' unary | primary */
static const Expr *unary(Parser *s) { return eat(s, "-") ? apply(s, OP_neg, unary(s), NULL) : primary(s); }

/* term = unary {('*' | '/') unary} */
static const Expr *term(Parser *s) {
  const Expr *e = unary(s);
  for (;;) {
    if (eat(s, "*")) e = apply(s, OP_mul, e, unary(s));
    else if (eat(s, "/")) e = apply(s, OP_div, e, unary(s));
    else return e;
  }
}

/* sum = term {('+' | '-') term} */
static const Expr *sum(Parser *s) {
  const Expr *e = term(s);
  for (;;) {
    if (eat(s, "+")) e = apply(s, OP_add, e, term(s));
    else if (eat(s, "-")) e = apply(s, OP_sub, e, term(s));
    else return e;
  }
}

/* expression = sum [('==' | '!=' | '<=' | '<') sum] */
static const Expr *expression(Parser *s) {
  static const struct {
    const char *token;
    OpId op;
  } compare[] = {{"==", OP_eq}, {"!=", OP_ne}, {"<=", OP_le}, {"<", OP_lt}};
  const Expr *e = sum(s);
  for (size_t i = 0; i < sizeof compare / sizeof *compare; i++)
    if (eat(s, compare[i].token)) return apply(s, compare[i].op, e, sum(s));
  return e;
}

/* ---- the parsed table ---- */
static struct {
  Arena *arena;
  const Expr *expr[OP_COUNT];
  const Expr *vjp[OP_COUNT][MAX_OPERANDS];
} parsed;

static void check_args(const Expr *e, int nin, bool in_vjp) {
  if (e->kind == EX_ARG && e->arg >= nin && (!in_vjp || e->arg < 3))
    bug("operator table: an expression names operand %c", "abcyg"[e->arg]);
  for (int i = 0; i < e->nin; i++) check_args(e->in[i], nin, in_vjp);
}

static void parse_table(void) {
  parsed.arena = arena_new();
  for (int op = 0; op < OP_COUNT; op++) {
    const OpRow *row = &op_table[op];
    Parser s = {.arena = parsed.arena, .text = row->expr, .p = row->expr};
    if (row->expr) {
      parsed.expr[op] = expression(&s);
      if (eat(&s, "") && *s.p) parse_bug(&s, "trailing text");
      check_args(parsed.expr[op], row->nin, false);
    }
    s.text = s.p = row->vjp;
    for (int i = 0; row->vjp && i < row->nin; i++) {
      if (i && !eat(&s, ";")) parse_bug(&s, "missing ';'");
      const char *at = s.p;
      if (eat(&s, "-") && (eat(&s, ";") || !*s.p)) { /* "-" alone: no gradient */
        s.p = at;
        eat(&s, "-");
        continue;
      }
      s.p = at;
      parsed.vjp[op][i] = expression(&s);
      check_args(parsed.vjp[op][i], row->nin, true);
    }
    if (row->vjp && eat(&s, "") && *s.p) parse_bug(&s, "trailing text");
  }
}

static void parse_once(void) {
  static once_flag once = ONCE_FLAG_INIT;
  call_once(&once, parse_table);
}

const Expr *op_expr(OpId op) {
  parse_once();
  return parsed.expr[op];
}

const Expr *op_vjp_expr(OpId op, int i) {
  parse_once();
  return i < MAX_OPERANDS ? parsed.vjp[op][i] : NULL;
}

bool op_vjp_is_defined(OpId op) { return op_table[op].vjp || op_table[op].vjp_fn; }

/* ---- evaluation ---- */
typedef double LeafFn(const double *x);

/* Newton's method on erfc, from its tail or from the series around 0. */
static double erf_inverse(double x) {
  const double root_pi = 1.7724538509055161;
  double a = fabs(x), t = 1 - a, y = 0.5 * root_pi * a;
  if (!(a < 1)) return a == 1 ? copysign(HUGE_VAL, x) : NAN;
  if (a > 0.7) {
    y = sqrt(-log(t));
    for (int i = 0; i < 4; i++) y = sqrt(-log(fmin(t * root_pi * y, 0.9)));
  }
  for (int i = 0; i < 12; i++) y += (a < 0.5 ? a - erf(y) : erfc(y) - t) * 0.5 * root_pi * exp(y * y);
  return copysign(y, x);
}

#define LEAF(NAME, VALUE)                                                                                    \
  static double leaf_##NAME(const double *x) { return VALUE; }
LEAF(neg, -x[0])
LEAF(abs, fabs(x[0]))
LEAF(sign, isnan(x[0]) ? x[0] : (x[0] > 0) - (x[0] < 0))
LEAF(floor, floor(x[0]))
LEAF(exp, exp(x[0]))
LEAF(log, log(x[0]))
LEAF(sqrt, sqrt(x[0]))
LEAF(sin, sin(x[0]))
LEAF(cos, cos(x[0]))
LEAF(tanh, tanh(x[0]))
LEAF(erf, erf(x[0]))
LEAF(not, x[0] == 0)
LEAF(add, x[0] + x[1])
LEAF(sub, x[0] - x[1])
LEAF(mul, x[0] * x[1])
LEAF(div, x[0] / x[1])
LEAF(pow, pow(x[0], x[1]))
LEAF(min, isnan(x[0]) || x[0] < x[1] ? x[0] : x[1])
LEAF(max, isnan(x[0]) || x[1] < x[0] ? x[0] : x[1])
LEAF(eq, x[0] == x[1])
LEAF(ne, x[0] != x[1])
LEAF(lt, x[0] < x[1])
LEAF(le, x[0] <= x[1])
LEAF(and, x[0] != 0 && x[1] != 0)
LEAF(or, x[0] != 0 || x[1] != 0)
LEAF(select, x[0] != 0 ? x[1] : x[2])
LEAF(round, nearbyint(x[0]))
LEAF(log1p, log1p(x[0]))
LEAF(expm1, expm1(x[0]))
LEAF(log2, log2(x[0]))
LEAF(exp2, exp2(x[0]))
LEAF(asin, asin(x[0]))
LEAF(acos, acos(x[0]))
LEAF(atan, atan(x[0]))
LEAF(sinh, sinh(x[0]))
LEAF(cosh, cosh(x[0]))
LEAF(asinh, asinh(x[0]))
LEAF(acosh, acosh(x[0]))
LEAF(atanh, atanh(x[0]))
LEAF(atan2, atan2(x[0], x[1]))
LEAF(erfinv, erf_inverse(x[0]))
LEAF(lgamma, lgamma(x[0]))
LEAF(digamma, gamma_psi(x[0]))
LEAF(polygamma, gamma_polygamma(x[0], x[1]))
#undef LEAF

static LeafFn *const leaf_fn[OP_COUNT] = {
    [OP_neg] = leaf_neg,         [OP_abs] = leaf_abs,
    [OP_sign] = leaf_sign,       [OP_floor] = leaf_floor,
    [OP_exp] = leaf_exp,         [OP_log] = leaf_log,
    [OP_sqrt] = leaf_sqrt,       [OP_sin] = leaf_sin,
    [OP_cos] = leaf_cos,         [OP_tanh] = leaf_tanh,
    [OP_erf] = leaf_erf,         [OP_not] = leaf_not,
    [OP_add] = leaf_add,         [OP_sub] = leaf_sub,
    [OP_mul] = leaf_mul,         [OP_div] = leaf_div,
    [OP_pow] = leaf_pow,         [OP_min] = leaf_min,
    [OP_max] = leaf_max,         [OP_eq] = leaf_eq,
    [OP_ne] = leaf_ne,           [OP_lt] = leaf_lt,
    [OP_le] = leaf_le,           [OP_and] = leaf_and,
    [OP_or] = leaf_or,           [OP_select] = leaf_select,
    [OP_round] = leaf_round,     [OP_log1p] = leaf_log1p,
    [OP_expm1] = leaf_expm1,     [OP_log2] = leaf_log2,
    [OP_exp2] = leaf_exp2,       [OP_asin] = leaf_asin,
    [OP_acos] = leaf_acos,       [OP_atan] = leaf_atan,
    [OP_sinh] = leaf_sinh,       [OP_cosh] = leaf_cosh,
    [OP_asinh] = leaf_asinh,     [OP_acosh] = leaf_acosh,
    [OP_atanh] = leaf_atanh,     [OP_atan2] = leaf_atan2,
    [OP_erfinv] = leaf_erfinv,   [OP_lgamma] = leaf_lgamma,
    [OP_digamma] = leaf_digamma, [OP_polygamma] = leaf_polygamma,
};

double op_eval_leaf(OpId op, const double *x) {
  LeafFn *fn = leaf_fn[op];
  if (!fn) bug("operator %s is not a leaf the evaluator knows", op_table[op].name);
  return fn(x);
}

/* ---- integers ---- */
static int64_t wrapped(uint64_t x) {
  int64_t y;
  memcpy(&y, &x, sizeof y);
  return y;
}

/* What differs where a and b have 64 bits and no sign; narrower integers are their values. */
static int64_t unsigned_leaf(OpId op, uint64_t a, uint64_t b) {
  switch (op) {
  case OP_abs: return wrapped(a);
  case OP_min: return wrapped(a < b ? a : b);
  case OP_max: return wrapped(a < b ? b : a);
  case OP_lt: return a < b;
  case OP_le: return a <= b;
  case OP_idiv: return b ? wrapped(a / b) : 0;
  case OP_irem: return b ? wrapped(a % b) : 0;
  case OP_shift_right: return b < 64 ? wrapped(a >> b) : 0;
  default: bug("operator %s is not one of integers", op_table[op].name);
  }
}

static int64_t int_leaf(OpId op, DType dt, int64_t a, int64_t b) {
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  bool inside = b >= 0 && b < 8 * dtype_size(dt);
  bool ordered = op == OP_abs || op == OP_min || op == OP_max || op == OP_lt || op == OP_le ||
                 op == OP_idiv || op == OP_irem || op == OP_shift_right;
  if (dt == DT_U64 && ordered) return unsigned_leaf(op, x, y);
  switch (op) {
  case OP_neg: return wrapped(0 - x);
  case OP_abs: return a < 0 ? wrapped(0 - x) : a;
  case OP_add: return wrapped(x + y);
  case OP_sub: return wrapped(x - y);
  case OP_mul: return wrapped(x * y);
  case OP_min: return a < b ? a : b;
  case OP_max: return a < b ? b : a;
  case OP_eq: return a == b;
  case OP_ne: return a != b;
  case OP_lt: return a < b;
  case OP_le: return a <= b;
  case OP_stop_gradient: return a;
  case OP_idiv: return b == -1 ? wrapped(0 - x) : b ? a / b : 0;
  case OP_irem: return b == -1 || !b ? 0 : a % b;
  case OP_bit_not: return ~a;
  case OP_bit_and: return a & b;
  case OP_bit_or: return a | b;
  case OP_bit_xor: return a ^ b;
  case OP_shift_left: return inside ? wrapped(x << b) : 0;
  case OP_shift_right: return inside ? a >> b : a < 0 ? -1 : 0;
  default: bug("operator %s is not one of integers", op_table[op].name);
  }
}

/* ---- floats ---- */
typedef enum { PLAIN, ROUNDED } Precision;

static double eval_op(OpId op, const double *x, Precision p);

static double eval(const Expr *e, const double *x, Precision p) {
  if (e->kind == EX_NUM) return p == ROUNDED ? (float)e->num : e->num;
  if (e->kind == EX_ARG) return x[e->arg];
  double y[MAX_OPERANDS];
  for (int i = 0; i < e->nin; i++) y[i] = eval(e->in[i], x, p);
  return eval_op(e->op, y, p);
}

static double eval_op(OpId op, const double *x, Precision p) {
  if (leaf_fn[op]) return p == ROUNDED ? f32_round(leaf_fn[op](x)) : leaf_fn[op](x);
  const Expr *e = op_expr(op);
  if (!e) bug("operator %s has no value expression", op_table[op].name);
  return eval(e, x, p);
}

double op_eval(OpId op, const double *x) { return eval_op(op, x, PLAIN); }

double op_eval_cells(OpId op, DType result, DType arg, const double *x, bool rounds) {
  if (op == OP_select) return x[x[0] != 0 ? 1 : 2];
  if (dtype_is_int(arg)) {
    bool two = op_table[op].nin > 1;
    int64_t y = int_leaf(op, arg, cell_int(arg, x[0]), two ? cell_int(arg, x[1]) : 0);
    return dtype_is_int(result) ? int_cell(result, y) : (double)y;
  }
  if (!rounds || (arg != DT_F32 && !dtype_is_narrow(arg))) return dtype_round(result, op_eval(op, x), false);
  double z[MAX_OPERANDS];
  for (int i = 0; i < op_table[op].nin; i++) z[i] = f32_round(x[i]);
  return dtype_round(result, eval_op(op, z, ROUNDED), false);
}

double convert_cell(DType from, DType to, double x, bool rounds) {
  if (dtype_is_int(from)) {
    int64_t i = cell_int(from, x);
    if (dtype_is_int(to)) return int_cell(to, i);
    if (to == DT_BOOL) return i != 0;
    bool f32 = dtype_is_narrow(to) || (to == DT_F32 && rounds); /* one rounding: not by way of a double */
    double y = from == DT_U64 ? (f32 ? (double)(float)(uint64_t)i : (double)(uint64_t)i)
                              : (f32 ? (double)(float)i : (double)i);
    return dtype_round(to, y, false);
  }
  if (to == DT_BOOL) return x != 0;
  if (dtype_is_int(to)) { /* truncates and saturates, NaN gives 0 (LLVM's fptosi.sat) */
    if (isnan(x)) return int_cell(to, 0);
    Imm low = dtype_least(to), high = dtype_most(to), v = truncl((Imm)x);
    return imm_cell(to, v < low ? low : v > high ? high : v);
  }
  return dtype_round(to, x, rounds);
}
