/* The IR core: one sample of every operator row round-trips through text; inference, reader and verifier
   reject what they must with messages that help; diagnostics have their format. */
#include "ir/graph/graph.h"
#include "tests/unit/support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Arena *arena;
static void setup(void) { arena = arena_new(); }
static void teardown(void) { arena_free(arena); }

#define SH(...) ((Shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define SCALAR ((Shape){0})

/* ---- samples: one line of text an operator, over operands given by their types ---- */
typedef struct {
  const char *op;
  const char *in[3];  /* operand types */
  const char *attrs;  /* as in text */
  const char *result; /* expected type */
  double flops;
} Sample;

#define UNARY(OP, FLOPS) {#OP, {"f32[2,3]"}, "", "f32[2,3]", 6 * FLOPS}
#define BINARY(OP, FLOPS) {#OP, {"f32[2,3]", "f32[2,3]"}, "", "f32[2,3]", 6 * FLOPS}
static const Sample samples[] = {
    {"input", {0}, "", "f32[2,3]", 0}, /* every graph below has inputs */
    {"grad", {"f32[]", "f32[2,3]"}, "", "f32[2,3]", 0},
    UNARY(neg, 1),
    UNARY(abs, 1),
    UNARY(sign, 1),
    UNARY(floor, 1),
    UNARY(exp, 12),
    UNARY(log, 14),
    UNARY(sqrt, 4),
    UNARY(rsqrt, 6),
    UNARY(sin, 16),
    UNARY(cos, 16),
    UNARY(tanh, 14),
    UNARY(sigmoid, 15),
    UNARY(erf, 18),
    UNARY(relu, 1),
    UNARY(ceil, 1),
    UNARY(trunc, 3),
    UNARY(round, 1),
    UNARY(frac, 4),
    UNARY(log1p, 20),
    UNARY(expm1, 24),
    UNARY(log2, 14),
    UNARY(exp2, 12),
    UNARY(asin, 40),
    UNARY(acos, 40),
    UNARY(atan, 40),
    UNARY(sinh, 40),
    UNARY(cosh, 40),
    UNARY(asinh, 40),
    UNARY(acosh, 40),
    UNARY(atanh, 40),
    UNARY(erfinv, 40),
    UNARY(lgamma, 80),
    UNARY(digamma, 80),
    {"bit_not", {"i64[4]"}, "", "i64[4]", 4},
    UNARY(stop_gradient, 0),
    {"not", {"bool[4]"}, "", "bool[4]", 0},
    {"cast", {"f32[4]"}, "", "bf16[4]", 0},
    BINARY(add, 1),
    BINARY(sub, 1),
    BINARY(mul, 1),
    BINARY(div, 4),
    BINARY(pow, 30),
    BINARY(min, 1),
    BINARY(max, 1),
    BINARY(atan2, 50),
    BINARY(polygamma, 400),
    {"idiv", {"i32[5]", "i32[5]"}, "", "i32[5]", 100},
    {"irem", {"i32[5]", "i32[5]"}, "", "i32[5]", 100},
    {"bit_and", {"i32[5]", "i32[5]"}, "", "i32[5]", 5},
    {"bit_or", {"i32[5]", "i32[5]"}, "", "i32[5]", 5},
    {"bit_xor", {"i32[5]", "i32[5]"}, "", "i32[5]", 5},
    {"shift_left", {"i32[5]", "i32[5]"}, "", "i32[5]", 10},
    {"shift_right", {"i32[5]", "i32[5]"}, "", "i32[5]", 10},
    {"eq", {"i64[5]", "i64[5]"}, "", "bool[5]", 5},
    {"ne", {"bool[5]", "bool[5]"}, "", "bool[5]", 5},
    {"lt", {"f64[5]", "f64[5]"}, "", "bool[5]", 5},
    {"le", {"f32[]", "f32[]"}, "", "bool[]", 1},
    {"and", {"bool[2]", "bool[2]"}, "", "bool[2]", 0},
    {"or", {"bool[2]", "bool[2]"}, "", "bool[2]", 0},
    {"select", {"bool[2]", "u32[2]", "u32[2]"}, "", "u32[2]", 2},
    {"fill", {0}, "{value=0.1}", "f64[3]", 0},
    {"iota", {0}, "{axis=[1]}", "i64[2,3]", 0},
    {"random_bits", {"i64[]", "i64[]"}, "{stream=[4294967295]}", "u32[2,3]", 0},
    {"reshape", {"f32[2,6]"}, "", "f32[3,4]", 0},
    {"transpose", {"f32[2,3,4]"}, "{perm=[2,0,1]}", "f32[4,2,3]", 0},
    {"broadcast", {"f32[3,1]"}, "{dims=[1,2]}", "f32[2,3,4]", 0},
    {"slice", {"f32[7,4]"}, "{start=[1,0], stop=[6,4], step=[2,1]}", "f32[3,4]", 0},
    {"pad", {"f32[3,2]"}, "{lo=[1,0], hi=[2,0], interior=[1,0], value=-inf}", "f32[8,2]", 0},
    {"concat", {"f32[2,1]", "f32[2,3]", "f32[2,2]"}, "{axis=[1]}", "f32[2,6]", 0},
    {"reverse", {"f32[2,3]"}, "{axes=[0,1]}", "f32[2,3]", 0},
    {"window", {"f32[2,8,9]"}, "{size=[3,2], stride=[2,1], pad=[1,0], value=-inf}", "f32[2,4,8,3,2]", 0},
    {"fold", {"f32[2,4,8,3,2]"}, "{extent=[8,9], stride=[2,1], pad=[1,0]}", "f32[2,8,9]", 2 * 4 * 8 * 6},
    {"reduce_sum", {"f32[2,3,4]"}, "{axes=[0,2]}", "f32[3]", 24},
    {"reduce_mean", {"f32[2,3,4]"}, "{axes=[1]}", "f32[2,4]", 24},
    {"reduce_max", {"f32[2,3]"}, "{axes=[0,1]}", "f32[]", 6},
    {"reduce_min", {"i32[2,3]"}, "{axes=[1]}", "i32[2]", 6},
    {"reduce_m2", {"f32[2,3]"}, "{axes=[0]}", "f32[3]", 18},
    {"argmax", {"f32[2,3]"}, "{axes=[1]}", "i64[2]", 6},
    {"dot_general",
     {"f32[5,2,3]", "f32[3,5,4]"},
     "{lhs_batch=[0], rhs_batch=[1], lhs_contract=[2], rhs_contract=[0]}",
     "f32[5,2,4]",
     2 * 5 * 2 * 4 * 3},
    {"conv2d",
     {"f32[2,3,8,9]", "f32[4,3,3,3]"},
     "{stride=[2,1], pad=[1,0]}",
     "f32[2,4,4,7]",
     2.0 * 2 * 4 * 4 * 7 * 27},
    {"conv2d_dx",
     {"f32[2,4,4,7]", "f32[4,3,3,3]"},
     "{stride=[2,1], pad=[1,0], size=[8,9]}",
     "f32[2,3,8,9]",
     2.0 * 2 * 4 * 4 * 7 * 27},
    {"conv2d_dw",
     {"f32[2,3,8,9]", "f32[2,4,4,7]"},
     "{stride=[2,1], pad=[1,0], size=[3,3]}",
     "f32[4,3,3,3]",
     2.0 * 2 * 4 * 4 * 7 * 27},
    {"conv2d",
     {"f32[2,6,8,9]", "f32[4,3,3,3]"},
     "{stride=[2,1], pad=[1,2,0,1], dilation=[1,2], groups=[2]}",
     "f32[2,4,5,6]",
     2.0 * 2 * 4 * 5 * 6 * 27},
    {"conv2d_dx",
     {"f32[2,4,5,6]", "f32[4,3,3,3]"},
     "{stride=[2,1], pad=[1,2,0,1], size=[8,9], dilation=[1,2], groups=[2]}",
     "f32[2,6,8,9]",
     2.0 * 2 * 4 * 5 * 6 * 27},
    {"conv2d_dw",
     {"f32[2,6,8,9]", "f32[2,4,5,6]"},
     "{stride=[2,1], pad=[1,2,0,1], size=[3,3], dilation=[1,2], groups=[2]}",
     "f32[4,3,3,3]",
     2.0 * 2 * 4 * 5 * 6 * 27},
    {"gather", {"f32[5,6]", "i64[2,3]"}, "{axis=[1]}", "f32[5,2,3]", 0},
    {"scatter_set", {"i32[4]", "f32[4,6]", "f32[10,6]"}, "{axis=[0]}", "f32[10,6]", 24},
    {"scatter_mul", {"i64[]", "f64[4]", "f64[4,6]"}, "{axis=[1]}", "f64[4,6]", 4},
    {"scatter_min", {"i32[2,2]", "i32[2,2]", "i32[3]"}, "{axis=[0]}", "i32[3]", 4},
    {"scatter_max", {"i64[4]", "u32[4,6]", "u32[10,6]"}, "{axis=[0]}", "u32[10,6]", 24},
    {"argsort", {"f32[2,3]"}, "{descending=[1]}", "i64[2,3]", 96},
    {"cholesky", {"f32[2,3,3]"}, "", "f32[2,3,3]", 18},
    {"triangular_solve", {"f64[3,3]", "f64[3,4]"}, "{transposed=[1]}", "f64[3,4]", 36},
    {"solve", {"f32[3,3]", "f32[4,3]"}, "{}", "f32[4,3]", 90},
    {"slogdet", {"f64[2,3,3]"}, "", "f64[2,2]", 36},
    {"eigh", {"f32[3,3]"}, "", "f32[4,3]", 243},
    {"eigvalsh", {"f32[3,3]"}, "", "f32[3]", 36},
    {"svd", {"f32[4,3]"}, "", "f32[24]", 756},
    {"qr", {"f32[3,6]"}, "", "f32[27]", 180},
    {"scatter_add", {"i32[4]", "f32[4,6]"}, "{axis=[0]}", "f32[10,6]", 24},
    {"all_reduce_sum", {"f32[4,6]"}, "{ranks=[3]}", "f32[4,6]", 24},
    {"all_reduce_mean", {"f32[4,6]"}, "{ranks=[1]}", "f32[4,6]", 24},
    {"all_reduce_max", {"i64[4]"}, "{ranks=[2]}", "i64[4]", 4},
    {"all_broadcast", {"bool[4]"}, "{ranks=[2]}", "bool[4]", 0},
    {"reduce_scatter", {"f32[2,12]"}, "{axis=[1], groups=[2], ranks=[3]}", "f32[2,4]", 8},
    {"rank_part", {"i64[6,2]"}, "{axis=[0], groups=[1], ranks=[3]}", "i64[2,2]", 0},
    {"all_gather", {"f32[2,4]"}, "{axis=[1], groups=[2], ranks=[3]}", "f32[2,12]", 0},
    {"extern", {"f32[4]"}, "{library=\"libc.so.6\", symbol=\"bcopy\", vjp=\"-\"}", "f32[4]", 0},
};
enum { NSAMPLES = sizeof samples / sizeof *samples };

static Source source(const char *text) { return (Source){"t.ir", text, strlen(text)}; }

/* Reads exactly one graph; prints diagnostics and fails the test otherwise. */
static Graph *must_read(const char *text) {
  Source *src = NEW(arena, Source);
  *src = source(text);
  Diags *d = diags_new(arena);
  Graph *g = NULL;
  if (graph_read(arena, src, d, &g, 1) != 1) {
    diags_print(d, stderr);
    ck_abort_msg("this should be readable:\n%s", text);
  }
  return g;
}

static const char *print(const Graph *g) {
  StrBuf b = {0};
  graph_print(g, &b);
  const char *s = arena_strdup(arena, b.s);
  sb_free(&b);
  return s;
}

static const char *printed_diags(const Diags *d) {
  char *buf = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&buf, &n);
  diags_print(d, f);
  fclose(f);
  const char *s = arena_strdup(arena, buf);
  free(buf);
  return s;
}

static const char *sample_text(const Sample *s) {
  StrBuf b = {0};
  int n = 0;
  sb_printf(&b, "graph sample {\n");
  if (strcmp(s->op, "input") == 0) {
    sb_printf(&b, "  %%0: %s = arg \"x\"\n", s->result);
  } else {
    for (; n < 3 && s->in[n]; n++) sb_printf(&b, "  %%%d: %s = arg \"x%d\"\n", n, s->in[n], n);
    sb_printf(&b, "  %%%d: %s = %s", n, s->result, s->op);
    for (int i = 0; i < n; i++) sb_printf(&b, "%s%%%d", i ? ", " : " ", i);
    sb_printf(&b, "%s%s\n", *s->attrs ? " " : "", s->attrs);
  }
  sb_printf(&b, "  return \"y\" %%%d\n}\n", n);
  const char *t = arena_strdup(arena, b.s);
  sb_free(&b);
  return t;
}

static const Sample *sample_of(OpId op) {
  for (int i = 0; i < NSAMPLES; i++)
    if (strcmp(samples[i].op, op_table[op].name) == 0) return &samples[i];
  ck_abort_msg("operator %s has no sample in this test", op_table[op].name);
}

START_TEST(every_row_has_a_complete_table_entry) {
  for (int i = 0; i < OP_COUNT; i++) {
    const OpRow *r = &op_table[i];
    ck_assert_msg(r->name && r->doc && r->type, "row %d lacks a column", i);
    ck_assert_int_eq(op_find(r->name), i);
    ck_assert_msg((r->kind == KIND_MAP) == (r->expr != NULL), "%s: expr", r->name);
    ck_assert_msg(r->kind != KIND_MAP || r->accept, "%s: accept", r->name);
    char buf[32];
    for (int a = 0; a < op_nattr((OpId)i); a++)
      ck_assert_int_eq(op_attr_index((OpId)i, op_attr_name((OpId)i, a, buf)), a);
    ck_assert_int_le(op_nattr((OpId)i), MAX_ATTRS);
  }
  ck_assert_int_eq(op_find("nonesuch"), OP_COUNT);
  ck_assert_int_eq(op_attr_index(OP_conv2d, "strid"), -1);
  ck_assert_int_eq(op_attr_index(OP_add, "axis"), -1);
}
END_TEST

START_TEST(every_row_round_trips) {
  for (int i = 0; i < OP_COUNT; i++) {
    if (op_table[i].kind == KIND_SCAN) continue; /* they make sense together only: test_scan.c */
    const Sample *s = sample_of((OpId)i);
    const char *text = sample_text(s);
    Graph *g = must_read(text);
    ck_assert_int_eq(g_node(g, g->node.n - 1)->op, i);
    ck_assert_str_eq(print(g), text);
    ck_assert_double_eq(node_flops(g, g->node.n - 1), s->flops);
  }
}
END_TEST

/* Rows whose type is not explicit infer it, alike with and without annotation, and contradict a wrong one. */
START_TEST(types_are_inferred) {
  for (int i = 0; i < OP_COUNT; i++) {
    TypeRule rule = op_table[i].type;
    if (rule == TY_EXPLICIT || op_table[i].kind == KIND_SCAN) continue;
    const Sample *s = sample_of((OpId)i);
    Sample bare = *s, wrong = *s;
    char want[128];
    bare.result = "TYPE";
    char *text = arena_strdup(arena, sample_text(&bare)), *at = strstr(text, ": TYPE");
    memset(at, ' ', 6);
    Graph *g = must_read(text);
    const Node *n = g_node(g, g->node.n - 1);
    ck_assert_str_eq(type_str(n->dt, &n->shape, want), s->result);
    wrong.result = strcmp(s->result, "f32[77]") ? "f32[77]" : "f32[78]";
    Source src = source(sample_text(&wrong));
    Diags *d = diags_new(arena);
    ck_assert_int_eq(graph_read(arena, &src, d, &g, 1), -1);
    ck_assert_msg(strstr(printed_diags(d), "the type is given as f32[77], but"), "%s", printed_diags(d));
  }
}
END_TEST

START_TEST(copying_preserves_everything) {
  for (int i = 0; i < OP_COUNT; i++) {
    if (op_table[i].kind == KIND_SCAN) continue; /* they make sense together only: test_scan.c */
    Graph *g = must_read(sample_text(sample_of((OpId)i)));
    Graph *h = graph_new(arena, g->name);
    for (Val v = 0; v < g->node.n; v++) ck_assert_int_eq(g_copy_node(h, g, v, g_node(g, v)->in), v);
    for (int k = 0; k < g->outputs.n; k++)
      g_output(h, g->outputs.v[k].name, g->outputs.v[k].val, g->outputs.v[k].state);
    ck_assert_str_eq(print(g), print(h));
    char err[512];
    ck_assert_msg(graph_verify(h, err, sizeof err), "%s", err);
  }
}
END_TEST

/* ---- the whole text form at once ---- */
static const char everything[] =
    "graph forward {\n"
    "  %0: f32[4,3,3,3] = param \"encoder.conv1.weight\" {init=uniform(-0.19,0.19), stream=3}  # "
    "resnet.jepa:14:7 < "
    "seq_jepa.jepa:12:3 < m.jepa:9\n"
    "  %1: f32[4] = buffer \"encoder.bn1.running_mean\" {init=fill(0)}  # resnet.jepa:20\n"
    "  %2: f64[] = buffer \"n\" {init=fill(1e+300)}\n"
    "  %3: f32[4,3,3,3] = slot \"adam.m\" {init=copy(\"encoder.conv1.weight\")}  # ; update\n"
    "  %4: f32[2] = param \"odd \\\"name\\\\\" {init=normal(0,0.02), stream=4294967295}\n"
    "  %5: i64[] = runtime \"step\"\n"
    "  %6: f32[2,3,5,5] = arg \"x\"\n"
    "  %7: f32[2,4,5,5] = conv2d %6, %0 {stride=[1,1], pad=[1,1]}  # \"a b/\\x0a;.jepa\":3:1 < ?:7 ; grad\n"
    "  %8: f32[4] = fill {value=nan}  # resnet.jepa:21\n"
    "  %9: f32[4] = add %1, %8  # resnet.jepa:21 ; update\n"
    "  %10: f32[] = reduce_sum %9 {axes=[0]}\n"
    "  return \"loss\" %10\n"
    "  update \"encoder.bn1.running_mean\" %9\n"
    "  return \"again\" %10\n"
    "}\n";

START_TEST(everything_round_trips) {
  Graph *g = must_read(everything);
  ck_assert_str_eq(print(g), everything);
  const Loc *l = g_node(g, 0)->loc;
  ck_assert_int_eq(l->line, 14);
  ck_assert_str_eq(l->up->src->path, "seq_jepa.jepa");
  ck_assert_int_eq(l->up->up->line, 9);
  ck_assert_ptr_null(l->up->up->up);
  ck_assert_int_eq(g_node(g, 7)->role, ROLE_GRADIENT);
  ck_assert_int_eq(g_node(g, 3)->role, ROLE_UPDATE);
  ck_assert_ptr_null(g_node(g, 7)->loc->up->src);
  ck_assert_str_eq(g->inputs.v[4].name, "odd \"name\\");
  ck_assert_int_eq(g->outputs.v[1].state, 1);
  ck_assert_int_eq(g_find_input(g, "adam.m"), 3);
  ck_assert_int_eq(g_find_input(g, "adam"), -1);
  ck_assert_ptr_eq(g_node(g, 1)->loc->src, g_node(g, 8)->loc->src);
}
END_TEST

START_TEST(doubles_read_back_exactly) {
  static const double v[] = {0.1,          1.0 / 3,  1e-310,    5e-324,        1.7976931348623157e308,
                             -0.0,         INFINITY, -INFINITY, 123456789.125, 2.2250738585072014e-308,
                             0x1.fffffep-1};
  for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
    Graph *g = graph_new(arena, "d");
    g_output(g, "y", g_fill(g, DT_F64, &SCALAR, v[i]), -1);
    double back = g_node(must_read(print(g)), 0)->imm;
    ck_assert_int_eq(memcmp(&back, &v[i], sizeof back), 0);
  }
}
END_TEST

START_TEST(hand_written_forms) {
  Graph *g =
      must_read("# a comment\n\ngraph \"odd name\" {\r\n  # nothing\n %x:f32[2 , 3]=arg \"x\" # just words\n"
                "%w.1: f32 = reduce_sum %x {axes=[1, 0]} # note: here\n %s = reduce_max %x {axes=1}\n"
                " %p = pad %s {lo=1,hi=0,interior=0}\nreturn \"y\" %w.1 # m.jepa:3\n}");
  ck_assert_str_eq(print(g),
                   "graph \"odd name\" {\n  %0: f32[2,3] = arg \"x\"\n"
                   "  %1: f32[] = reduce_sum %0 {axes=[0,1]}\n  %2: f32[2] = reduce_max %0 {axes=[1]}\n"
                   "  %3: f32[3] = pad %2 {lo=[1], hi=[0], interior=[0], value=0}\n"
                   "  return \"y\" %1\n}\n");
  Source two = source("graph a {\n}\ngraph b {\n}\n");
  Graph *out[2];
  ck_assert_int_eq(graph_read(arena, &two, diags_new(arena), out, 2), 2);
  ck_assert_str_eq(out[1]->name, "b");
  Diags *d = diags_new(arena);
  ck_assert_int_eq(graph_read(arena, &two, d, out, 1), -1);
  ck_assert_msg(strstr(printed_diags(d), "t.ir:3:1: error: at most 1 graph can"), "%s", printed_diags(d));
}
END_TEST

/* ---- malformed text ---- */
#define X "graph g {\n  %0: f32[2,3] = arg \"x\"\n"
static const struct {
  const char *text, *want;
} malformed[] = {
    {"", "t.ir:1:1: error: expected 'graph', but found the end of the file"},
    {"kernels g {", "t.ir:1:1: error: expected 'graph', but found 'kernels'"},
    {"graph g\n{", "t.ir:1:8: error: expected '{' after the graph's name, but found the end of the line"},
    {X, "graph g is not closed"},
    {X "  %1: f32[2,3] = ad %0, %0\n}", "t.ir:3:18: error: unknown operator 'ad'; did you mean 'add'?"},
    {X "  %1: f32[2,3] = input\n}", "unknown operator 'input'"},
    {X "  %1: f32[2,3] = parm \"p\"\n}", "did you mean 'param'?"},
    {X "  %1: f32[2,3] = add %0\n}", "t.ir:3:18: error: add takes 2 operands, but got 1"},
    {X "  %1: f32[2,3] = exp %0, %0\n}", "exp takes 1 operand, but got 2"},
    {X "  %1: f32[2,3] = exp %1\n}", "t.ir:3:22: error: %1 is not defined above this line"},
    {X "  %0: f32[2,3] = exp %0\n}", "t.ir:3:3: error: %0 is defined twice"},
    {X "  %1: f32[3,3] = exp %0\n}", "the type is given as f32[3,3], but exp results in f32[2,3]"},
    {X "  %1: f64[2,3] = exp %0\n}", "the type is given as f64[2,3], but exp results in f32[2,3]"},
    {X "  %1: f33[2,3] = exp %0\n}", "t.ir:3:7: error: unknown element type 'f33'; did you mean 'f32'?"},
    {X "  %1: f32[2,0] = fill {value=1}\n}", "t.ir:3:13: error: extent 0 of axis 1 is not positive"},
    {X "  %1: f32[1,1,1,1,1,1,1,1,1] = fill {value=1}\n}", "at most 8 axes are supported"},
    {X "  %1: f32[1099511627777] = fill {value=1}\n}", "more than 2^40 elements"},
    {X "  %1: f32[99999999999999999999] = fill {value=1}\n}", "expected an extent (a 64-bit integer)"},
    {X "  %1 = fill {value=1}\n}", "fill needs a result type"},
    {X "  %1: f32[3] = fill\n}", "fill needs the attribute 'value'"},
    {X "  %1: f32[3] = fill {value=one}\n}", "expected value (a number), but found 'one'"},
    {X "  %1: i32[3] = fill {value=0.5}\n}", "value 0.5 of fill cannot be i32: an integer has no fraction"},
    {X "  %1 = reduce_sum %0 {axis=[0]}\n}", "reduce_sum has no attribute 'axis'; did you mean 'axes'?"},
    {X "  %1 = reduce_sum %0 {q=[0]}\n}", "reduce_sum has no attribute 'q'; it has axes"},
    {X "  %1 = exp %0 {q=[0]}\n}", "exp has no attributes, but found 'q'"},
    {X "  %1 = reduce_sum %0\n}", "reduce_sum needs the attribute 'axes'"},
    {X "  %1 = reduce_sum %0 {axes=[0], axes=[1]}\n}", "attribute 'axes' is given twice"},
    {X "  %1 = reduce_sum %0 {axes=[0,0]}\n}", "axis 0 of f32[2,3] is named twice by reduce_sum"},
    {X "  %1 = reduce_sum %0 {axes=[2]}\n}",
     "axis 2 in axes of reduce_sum is outside f32[2,3], which has 2 axes"},
    {X "  %1 = reduce_sum %0 {axes=[0}\n}", "t.ir:3:30: error: expected ']' after the list, but found '}'"},
    {X "  %1: f32[2] = param \"x\"\n}", "input \"x\" is defined twice"},
    {X "  %1: f32[2] = param \"p\" {inti=fill(0)}\n}", "param has no attribute 'inti'; did you mean 'init'?"},
    {X "  %1: f32[2] = param \"p\" {init=unifrm(0,1)}\n}",
     "unknown initializer 'unifrm'; did you mean 'uniform'?"},
    {X "  %1: f32[2] = arg \"p\" {init=fill(0)}\n}", "arg \"p\" is not a state, so it takes no initializer"},
    {X "  %1: i32[2] = param \"p\"\n}", "a param is trained, so it must be a float, not i32"},
    {X "  %1: f32[2] = param \"p\n}", "this string is not closed"},
    {X "  %1 = param \"p\"\n}", "param needs a type"},
    {X "  update \"x\" %0\n}", "t.ir:3:10: error: update of \"x\", which is not a param, buffer or slot"},
    {X "  %1: f32[2] = buffer \"b\"\n  update \"b\" %0\n}",
     "state \"b\" is f32[2] and cannot become f32[2,3]"},
    {X "  return \"y\" %0\n  return \"y\" %0\n}", "\"y\" is returned twice"},
    {X "  return \"y\" %0 %0\n}", "t.ir:3:17: error: expected the end of the line, but found '%'"},
    {X "  returm \"y\" %0\n}", "expected a value, 'return', 'update' or '}', but found 'returm'"},
    {X "\x01", "unexpected byte 0x01"},
    {"graph g {\r  return\r}\r", "a carriage return alone ends no line"},
    {"graph g {\n %0: f32[2] = buffer \"b\" {init=copy(\"x\")}\n return \"y\" %0\n}\n",
     "is a copy of \"x\", which is no state"},
    {"graph g {\n %0: f32[2] = buffer \"b\" {init=copy(\"c\")}\n %1: f32[2] = buffer \"c\" "
     "{init=copy(\"b\")}\n"
     " return \"y\" %0\n}\n",
     "is a copy of a copy of itself"},
    {"graph g {\n %0: f32[2] = buffer \"b\" {init=copy(\"c\")}\n %1: f32[3] = buffer \"c\"\n return \"y\" "
     "%0\n}\n",
     "which has another type"},
    {X "}\n}", "t.ir:4:1: error: expected 'graph', but found '}'"},
};

START_TEST(malformed_text_is_rejected) {
  Source *src = NEW(arena, Source);
  *src = source(malformed[_i].text);
  Diags *d = diags_new(arena);
  Graph *g[2];
  ck_assert_int_eq(graph_read(arena, src, d, g, 2), -1);
  ck_assert_int_eq(diags_errors(d), 1);
  ck_assert_ptr_null(*diags_trap(d));
  ck_assert_msg(strstr(printed_diags(d), malformed[_i].want), "wanted %s, got:\n%s", malformed[_i].want,
                printed_diags(d));
}
END_TEST

/* Truncated and mutated dumps give a graph or a diagnostic; what reads must print, verify and read again. */
START_TEST(reader_survives_garbage) {
  static const char pieces[] = "%%0123456789[]{}(),:=\"\\#<;\n \t-.eEx_gf\x01\xff";
  StrBuf b = {0};
  for (int i = 0; i < OP_COUNT; i++)
    if (op_table[i].kind != KIND_SCAN) sb_printf(&b, "%s", sample_text(sample_of((OpId)i)));
  sb_printf(&b, "%s", everything);
  uint64_t rng = 12345;
  for (int round = 0; round < 1500; round++) {
    Arena *a = arena_new();
    bool small = round % 2;
    const char *base = small ? everything : b.s;
    size_t len = small ? sizeof everything - 1 : b.n;
    char *text = arena_strndup(a, base, len);
    int edits = round < 100 ? 0 : 1 + round % 5;
    for (int e = 0; e < edits; e++) {
      rng = hash_bytes(&e, sizeof e, rng);
      text[rng % len] = (rng >> 40) % 3 ? pieces[(rng >> 32) % (sizeof pieces - 1)] : text[(rng >> 16) % len];
    }
    rng = hash_bytes(&round, sizeof round, rng);
    if (round < 100 || round % 7 == 0) text[len = rng % len] = 0;
    Source src = {"t.ir", text, len};
    Graph *out[OP_COUNT + 1];
    Diags *d = diags_new(a);
    int n = graph_read(a, &src, d, out, OP_COUNT + 1);
    ck_assert_int_eq(n < 0, diags_errors(d) > 0);
    for (int i = 0; i < n; i++) {
      const char *p = print(out[i]);
      ck_assert_str_eq(print(must_read(p)), p);
    }
    arena_free(a);
    if (round % 50 == 0) {
      arena_free(arena);
      arena = arena_new();
    }
  }
  sb_free(&b);
}
END_TEST

/* ---- the verifier ---- */
static Graph *intact(void) {
  return must_read(
      "graph v {\n  %0: f32[2,3] = param \"w\"\n  %1: f32[2,3] = arg \"x\"\n  %2: f32[2,3] = add %0, %1\n"
      "  %3: f32[2] = reduce_sum %2 {axes=[1]}\n  return \"y\" %3\n  update \"w\" %2\n}\n");
}

#define NODE(I) (g->node.v[I])
#define CORRUPTIONS(X_)                                                                                      \
  X_(NODE(2).op = (OpId)999, "operator number 999 does not exist")                                           \
  X_(NODE(2).op = OP_lt, "the type is given as f32[2,3], but lt results in bool[2,3]")                       \
  X_(NODE(2).dt = DT_NONE, "has no valid type")                                                              \
  X_(NODE(2).dt = DT_F64, "the type is given as f64[2,3], but add results in f32[2,3]")                      \
  X_(NODE(2).shape.rank = 9, "has no valid type")                                                            \
  X_(NODE(3).shape.dim[0] = 3, "the type is given as f32[3], but reduce_sum results in f32[2]")              \
  X_(NODE(2).role = (Role)7, "role 7 does not exist")                                                        \
  X_(NODE(2).nin = 1, "add takes 2 operands, but got 1")                                                     \
  X_(NODE(2).in = NULL, "has no operand list")                                                               \
  X_(((Val *)NODE(2).in)[1] = 2, "operand 2 is %2, which is not defined before it")                          \
  X_(((Val *)NODE(2).in)[1] = -1, "operand 2 is %-1, which is not defined before it")                        \
  X_(NODE(3).attr = NULL, "no attributes")                                                                   \
  X_(NODE(2).attr = NODE(3).attr, "unexpected attributes")                                                   \
  X_(((Ints *)NODE(3).attr)->n = 9, "attribute 0 has 9 entries")                                             \
  X_(((Ints *)NODE(3).attr)->v[0] = 5, "axis 5 in axes of reduce_sum is outside f32[2,3]")                   \
  X_(NODE(2).imm = 1, "has a value (1), which it does not use")                                              \
  X_(NODE(2).input = 0, "is not an input, but refers to input 0")                                            \
  X_(NODE(1).input = 0, "input 0 of the table is not this value")                                            \
  X_(g->inputs.v[1].val = 2, "input 1 of the table is not this value")                                       \
  X_(g->inputs.v[1].name = "w", "the name occurs twice")                                                     \
  X_(g->inputs.v[1].name = "", "has no name")                                                                \
  X_(g->inputs.v[1].kind = (InputKind)9, "kind 9 does not exist")                                            \
  X_(g->inputs.v[1].kind = IN_RUNTIME, "a run-time value must be a scalar")                                  \
  X_(g->inputs.v[1].init.kind = INIT_FILL, "only state has an initializer")                                  \
  X_(g->inputs.v[0].init.kind = (InitKind)9, "initializer 9 does not exist")                                 \
  X_(g->inputs.v[0].init.kind = INIT_COPY, "is initialized by copying nothing or itself")                    \
  X_(g->inputs.n = 1, "input 1 of the table is not this value")                                              \
  X_((g->inputs.v[0].kind = IN_ARG), "updates \"w\", which is not a param, buffer or slot")                  \
  X_(g->outputs.v[0].val = 4, "value %4 does not exist")                                                     \
  X_(g->outputs.v[0].name = NULL, "has no name")                                                             \
  X_(g->outputs.v[1].state = 2, "state 2 does not exist")                                                    \
  X_(g->outputs.v[1].name = "z", "updates state \"w\", of another name")                                     \
  X_(g->outputs.v[1].val = 3, "the state is f32[2,3] and cannot become %3, f32[2]")                          \
  X_((g_output(g, "y", 1, -1)), "the name occurs twice")                                                     \
  X_((g_output(g, "w", 1, 0)), "the state is updated twice")

START_TEST(verifier_catches_corruption) {
  char err[512];
  Graph *g = intact();
  ck_assert_msg(graph_verify(g, err, sizeof err), "%s", err);
#define TRY(CHANGE, WANT)                                                                                    \
  g = intact();                                                                                              \
  CHANGE;                                                                                                    \
  ck_assert_msg(!graph_verify(g, err, sizeof err), "unnoticed: %s", #CHANGE);                                \
  ck_assert_msg(strstr(err, WANT), "%s: wanted %s, got %s", #CHANGE, WANT, err);
  CORRUPTIONS(TRY)
  /* An input table in another order than the values would renumber when read back. */
  g = intact();
  Input t = g->inputs.v[0];
  g->inputs.v[0] = g->inputs.v[1];
  g->inputs.v[1] = t;
  g->node.v[0].input = 1;
  g->node.v[1].input = 0;
  ck_assert(!graph_verify(g, err, sizeof err));
  ck_assert_msg(strstr(err, "not in the order of the values"), "%s", err);
}
END_TEST

/* ---- inference errors ---- */
static const char *type_of(const Graph *g, Val v) {
  return type_str(g_node(g, v)->dt, &g_node(g, v)->shape, arena_alloc(arena, 128));
}

static const struct {
  const char *in[3];
  const char *op, *want;
} misuse[] = {
    {{"f32[2,3]", "f32[2,4]"}, "add", "operands have shapes f32[2,3] and f32[2,4], which differ in axis 1"},
    {{"f32[2,3]", "f32[3]"}, "add", "operands have shapes f32[2,3] and f32[3], which differ in rank"},
    {{"f32[2]", "f64[2]"},
     "add",
     "operands have types f32[2] and f64[2], which differ in element type (insert a cast)"},
    {{"i64[3]"}, "exp", "exp needs a float operand, but operand 1 is i64[3]"},
    {{"bool[3]", "bool[3]"}, "add", "add needs a float or integer operand, but operand 1 is bool[3]"},
    {{"f32[3]"}, "not", "not needs a bool operand, but operand 1 is f32[3]"},
    {{"f32[2]", "f32[2]", "f32[2]"}, "select", "select needs a bool operand, but operand 1 is f32[2]"},
    {{"bool[3]", "f32[2]", "f32[2]"},
     "select",
     "operands have shapes bool[3] and f32[2], which differ in axis 0"},
    {{"f32[2]", "f32[2]"}, "grad", "only a scalar float can be differentiated, but the loss is f32[2]"},
    {{"f32[]", "i64[2]"}, "grad", "only a float can be differentiated by, but the variable is i64[2]"},
    {{"i64[]", "i32[]"}, ": u32[2] = random_bits {stream=0}", "random_bits needs the scalar i64 step"},
    {{"f32[2,3]"}, ": f32[4] = reshape", "cannot reshape f32[2,3] to f32[4]: 6 elements are not 4"},
    {{"f32[2,3]"}, "transpose {perm=[0]}", "transpose of f32[2,3] needs 2 axes in perm, but has 1"},
    {{"f32[2,3]"}, "transpose {perm=[1,1]}", "axis 1 of f32[2,3] is named twice by transpose"},
    {{"f32[2]"}, ": f32[2,3] = broadcast {dims=[1]}", "axis 0 has extent 2, which is neither 1 nor 3"},
    {{"f32[2]"},
     ": f32[2,3] = broadcast {dims=[2]}",
     "cannot broadcast f32[2] to f32[2,3]: there is no axis 2"},
    {{"f32[2,3]"}, ": f32[3,2] = broadcast {dims=[1,0]}", "dims must increase, but has 0 after 1"},
    {{"f32[2,3]"}, ": f32[2,3] = broadcast {dims=[0]}", "dims names 1 axes for 2"},
    {{"f32[5]"}, "slice {start=2, stop=6, step=1}", "slice 2:6 of axis 0 is outside f32[5]"},
    {{"f32[5]"}, "slice {start=2, stop=2, step=1}", "slice 2:2 of axis 0 of f32[5] is zero-size"},
    {{"f32[5]"}, "slice {start=2, stop=4, step=0}", "step of slice is 0, but must be at least 1"},
    {{"f32[5]"}, "slice {start=[2,0], stop=4, step=1}", "start of slice needs 1 entry, but has 2"},
    {{"f32[5]"}, "pad {lo=-1, hi=4, interior=1}", "lo of pad is -1, but must be at least 0"},
    {{"i32[5]"}, "pad {lo=1, hi=4, interior=1, value=-inf}", "value -inf of pad cannot be i32"},
    {{"f32[5]"}, "pad {lo=0, hi=0, interior=1099511627776}", "more than 2^40 elements"},
    {{0}, "concat {axis=0}", "concat needs at least one operand"},
    {{"f32[2,3]", "f32[3,4]"},
     "concat {axis=1}",
     "concat of f32[2,3] and f32[3,4] along axis 1, which also differ in axis 0"},
    {{"f32[2,3]", "f32[3]"}, "concat {axis=1}", "which differ in rank"},
    {{"f32[2,3]", "f32[2,3]"},
     "concat {axis=2}",
     "axis 2 in axis of concat is outside f32[2,3], which has 2 axes"},
    {{"f32[5]"},
     "window {size=8, stride=1, pad=1}",
     "window of size 8 does not fit axis 0 of f32[5] padded by 1: the result is zero-size"},
    {{"f32[5]"},
     "window {size=[1,1], stride=[1,1], pad=[0,0]}",
     "window over 2 axes needs an operand with as many"},
    {{"f32[1,1,1,1,1]"},
     "window {size=[1,1,1,1], stride=[1,1,1,1], pad=[0,0,0,0]}",
     "window would have 9 axes, but at most 8"},
    {{"f32[4,3]"},
     "fold {extent=[8], stride=[1], pad=[0]}",
     "extent 8 has 6 windows of size 3 at stride 1 padded by 0, not 4"},
    {{"bool[4,3]"}, "reduce_sum {axes=0}", "reduce_sum needs a float or integer operand"},
    {{"f32[4,3]"}, "argmax {axes=[0,1]}", "axes of argmax needs 1 entry, but has 2"},
    {{"f32[2,3]", "f32[4,5]"},
     "dot_general {lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]}",
     "operands have shapes f32[2,3] and f32[4,5], whose contracted axes 1 and 0 have extents 3 and 4"},
    {{"f32[2,3]", "f32[4,5]"},
     "dot_general {lhs_batch=[0], rhs_batch=[0], lhs_contract=[], rhs_contract=[]}",
     "whose batch axes 0 and 0 have extents 2 and 4"},
    {{"f32[2,3]", "f32[2,3]"},
     "dot_general {lhs_batch=[0], rhs_batch=[0], lhs_contract=[0], rhs_contract=[1]}",
     "axis 0 of f32[2,3] is named twice by dot_general"},
    {{"f32[2,3]", "f32[2,3]"},
     "dot_general {lhs_batch=[0], rhs_batch=[], lhs_contract=[], rhs_contract=[]}",
     "names 1 and 0 batch axes"},
    {{"f32[2,3,8,8]", "f32[4,5,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1]}",
     "whose channels (axis 1) are 3 and 5"},
    {{"f32[2,3,8]", "f32[4,3,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1]}",
     "conv2d needs an image x[N,C,H,W], but operand 1 is f32[2,3,8]"},
    {{"f64[2,3,8,8]", "f64[4,3,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1]}",
     "conv2d computes in f32, but operand 1 is f64[2,3,8,8]"},
    {{"f32[2,3,2,2]", "f32[4,3,3,3]"},
     "conv2d {stride=[1,1], pad=[0,0]}",
     "is zero-size: the kernel does not fit axis 2 padded by 0"},
    {{"f32[2,3,2,2]", "f32[4,3,3,3]"},
     "conv2d {stride=1, pad=[0,0]}",
     "stride of conv2d needs 2 entries, but has 1"},
    {{"f32[2,3,2,2]", "f32[4,3,3,3]"},
     "conv2d {stride=[1,1], pad=[0,1,1,1], dilation=[2,1]}",
     "the kernel does not fit axis 2 padded by 0 and 1, dilated by 2"},
    {{"f32[2,6,8,8]", "f32[4,3,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1,1]}",
     "pad of conv2d is [height, width] or [top, bottom, left, right], but has 3 entries"},
    {{"f32[2,6,8,8]", "f32[4,3,3,3]"},
     "conv2d {stride=[1,1], pad=[1,-1]}",
     "pad of conv2d is -1, but must be at least 0"},
    {{"f32[2,6,8,8]", "f32[4,6,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1], dilation=[0,1]}",
     "dilation of conv2d is 0, but must be at least 1"},
    {{"f32[2,6,8,8]", "f32[4,6,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1], dilation=2}",
     "dilation of conv2d needs 2 entries, but has 1"},
    {{"f32[2,6,8,8]", "f32[4,6,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1], groups=0}",
     "groups of conv2d is 0, but must be at least 1"},
    {{"f32[2,6,8,8]", "f32[4,6,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1], groups=3}",
     "conv2d of x f32[2,6,8,8] and f32[4,6,3,3] in 3 groups, which do not divide 4 output channels"},
    {{"f32[2,6,8,8]", "f32[4,6,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1], groups=4}",
     "in 4 groups, which do not divide 6 input channels"},
    {{"f32[2,6,8,8]", "f32[4,6,3,3]"},
     "conv2d {stride=[1,1], pad=[1,1], groups=2}",
     "conv2d of x f32[2,6,8,8] and w f32[4,6,3,3] in 2 groups: w needs 3 channels (axis 1), but has 6"},
    {{"f32[2,4,8,8]", "f32[4,3,3,3]"},
     "conv2d_dx {stride=[1,1], pad=[1,1], size=[9,8]}",
     "gives 9, but axis 2 of g f32[2,4,8,8] has 8"},
    {{"f32[2,5,8,8]", "f32[4,3,3,3]"},
     "conv2d_dx {stride=[1,1], pad=[1,1], size=[8,8]}",
     "whose output channels are 5 and 4"},
    {{"f32[2,3,8,8]", "f32[2,4,7,8]"},
     "conv2d_dw {stride=[1,1], pad=[1,1], size=[3,3]}",
     "gives 8, but axis 2 of g f32[2,4,7,8] has 7"},
    {{"f32[2,3,8,8]", "f32[3,4,8,8]"},
     "conv2d_dw {stride=[1,1], pad=[1,1], size=[3,3]}",
     "which differ in axis 0 (the batch)"},
    {{"f32[5]", "f32[2]"}, "gather {axis=0}", "gather needs integers as indices, but operand 2 is f32[2]"},
    {{"f32[5]", "i32[2]"}, "gather {axis=1}", "axis 1 in axis of gather is outside f32[5], which has 1 axis"},
    {{"i32[4]", "f32[3,6]"},
     ": f32[10,6] = scatter_add {axis=0}",
     "needs updates f32[4,6], but got f32[3,6]"},
    {{"i32[4]", "f32[4,6]"},
     ": f64[10,6] = scatter_add {axis=0}",
     "the type is given as f64[10,6], but scatter_add results in f32[10,6]"},
};

START_TEST(misuse_is_explained) {
  StrBuf b = {0};
  int n = 0;
  const char *op = misuse[_i].op, *attrs = strchr(op, '{');
  sb_printf(&b, "graph g {\n");
  for (; n < 3 && misuse[_i].in[n]; n++) sb_printf(&b, "  %%%d: %s = arg \"x%d\"\n", n, misuse[_i].in[n], n);
  sb_printf(&b, "  %%%d%s%.*s", n, *op == ':' ? "" : " = ", attrs ? (int)(attrs - op) : (int)strlen(op), op);
  for (int i = 0; i < n; i++) sb_printf(&b, "%s%%%d", i ? ", " : " ", i);
  sb_printf(&b, " %s\n}\n", attrs ? attrs : "");
  Source src = source(arena_strdup(arena, b.s));
  sb_free(&b);
  Diags *d = diags_new(arena);
  Graph *g;
  ck_assert_int_eq(graph_read(arena, &src, d, &g, 1), -1);
  ck_assert_msg(strstr(printed_diags(d), misuse[_i].want), "wanted %s, got:\n%s", misuse[_i].want,
                printed_diags(d));
}
END_TEST

START_TEST(builder_errors_and_shorthands) {
  char err[512];
  Graph *g = graph_new(arena, "b");
  Shape s = SH(2, 3), zero = SH(2, 0);
  Val a = g_input(g, "a", IN_ARG, DT_F32, &s, NULL), b;
  ck_assert_int_eq(g_try(g, OP_fill, NULL, 0, NULL, 0, DT_F32, &zero, err, sizeof err), -1);
  ck_assert_str_eq(err, "fill would be zero-size: f32[2,0] has extent 0 in axis 1");
  ck_assert_int_eq(g->node.n, 1);
  Ints perm = ints2(1, 0), one = ints1(1), none = {0}, all = ints_range(2), start = ints2(0, 1),
       stop = ints2(2, 3);
  b = g_transpose(g, a, &perm);
  ck_assert_str_eq(type_of(g, b), "f32[3,2]");
  ck_assert_str_eq(type_of(g, g_dot(g, a, b, &none, &none, &one, &(Ints){1, {0}})), "f32[2,2]");
  ck_assert_str_eq(type_of(g, g_reduce(g, OP_reduce_max, a, &all)), "f32[]");
  ck_assert_str_eq(type_of(g, g_slice(g, a, &start, &stop, NULL)), "f32[2,2]");
  ck_assert_str_eq(type_of(g, g_pad(g, a, &start, &stop, NULL, 0)), "f32[4,7]");
  ck_assert_str_eq(type_of(g, g_concat(g, (Val[]){a, a, a}, 3, 1)), "f32[2,9]");
  ck_assert_str_eq(type_of(g, g_select(g, g_binary(g, OP_lt, a, a), a, g_fill_like(g, a, 2))), "f32[2,3]");
  ck_assert_str_eq(type_of(g, g_cast(g, a, DT_I64)), "i64[2,3]");
  ck_assert_str_eq(type_of(g, g_unary(g, OP_exp, a)), "f32[2,3]");
  ck_assert_str_eq(type_of(g, g_reshape(g, a, &SH(6))), "f32[6]");
  ck_assert_str_eq(type_of(g, g_broadcast(g, a, &SH(2, 5, 3), &(Ints){2, {0, 2}})), "f32[2,5,3]");
  /* a window may need the padding of both sides to fit */
  Ints fit[3] = {ints2(4, 5), ints2(1, 1), ints2(1, 1)};
  ck_assert_str_eq(type_of(g, g_add(g, OP_window, &a, 1, fit, 0, DT_NONE, NULL)), "f32[1,1,4,5]");
  /* the graph keeps its own copies of names and lists */
  char name[] = "state", from[] = "other";
  Init init = {.kind = INIT_COPY, .from = from};
  g_input(g, "other", IN_SLOT, DT_F32, &s, NULL);
  int in = g_node(g, g_input(g, name, IN_SLOT, DT_F32, &s, &init))->input;
  name[0] = from[0] = 'x';
  perm.v[0] = 7;
  ck_assert_str_eq(g->inputs.v[in].name, "state");
  ck_assert_str_eq(g->inputs.v[in].init.from, "other");
  ck_assert_int_eq(g_node(g, b)->attr[0].v[0], 1);
  /* bf16 operands may accumulate in f32, and in nothing else */
  Val h = g_cast(g, a, DT_BF16), k = g_cast(g, b, DT_BF16);
  Ints attr[4] = {none, none, one, ints1(0)};
  ck_assert_str_eq(type_of(g, g_add(g, OP_dot_general, (Val[]){h, k}, 2, attr, 0, DT_NONE, NULL)),
                   "bf16[2,2]");
  ck_assert_str_eq(type_of(g, g_add(g, OP_dot_general, (Val[]){h, k}, 2, attr, 0, DT_F32, NULL)), "f32[2,2]");
  ck_assert_int_eq(g_try(g, OP_dot_general, (Val[]){h, k}, 2, attr, 0, DT_F64, NULL, err, sizeof err), -1);
  ck_assert_msg(graph_verify(g, err, sizeof err), "%s", err);
}
END_TEST

/* ---- base ---- */
START_TEST(diagnostics_have_carets) {
  Diags *d = diags_new(arena);
  Source src = {"m.jepa", "first\n\tx = relu(y)\nlast", 23};
  Loc l = {.src = &src, .line = 2, .col = 6}, end = {.src = &src, .line = 3, .col = 5},
      no_col = {.src = &(Source){"n.jepa", NULL, 0}, .line = 7};
  diag_error(d, &l, "bad %s", "thing");
  diag_note(d, &end, "see here");
  diag_warning(d, &no_col, "hm");
  diag_warning(d, NULL, "general");
  ck_assert_int_eq(diags_errors(d), 1);
  ck_assert_str_eq(printed_diags(d), "m.jepa:2:6: error: bad thing\n    \tx = relu(y)\n    \t    ^\n"
                                     "m.jepa:3:5: note: see here\n    last\n        ^\n"
                                     "n.jepa:7: warning: hm\njepac: warning: general\n");
}
END_TEST

START_TEST(nearest_names) {
  static const char *const names[] = {"relu", "reduce_sum", "reduce_max", "conv2d"};
  ck_assert_str_eq(nearest_name("rellu", names, 4), "relu");
  ck_assert_str_eq(nearest_name("reduce_som", names, 4), "reduce_sum");
  ck_assert_str_eq(nearest_name("conv2", names, 4), "conv2d");
  ck_assert_ptr_null(nearest_name("transformer", names, 4));
  ck_assert_ptr_null(nearest_name("x", names, 0));
  ck_assert_ptr_null(
      nearest_name("an_endless_name_that_is_longer_than_sixty_three_characters_in_all", names, 4));
}
END_TEST

START_TEST(element_types) {
  for (int t = 1; t < DT_COUNT; t++) ck_assert_int_eq(dtype_parse(dtype_name((DType)t)), t);
  ck_assert_int_eq(dtype_parse("float"), DT_NONE);
  ck_assert_int_eq(dtype_parse("none"), DT_NONE);
  ck_assert_int_eq(dtype_size(DT_BF16), 2);
  ck_assert(dtype_is_float(DT_BF16) && !dtype_is_float(DT_I64) && dtype_is_int(DT_U32) &&
            !dtype_is_int(DT_BOOL));
  Shape s = SH(2, 3, 4);
  ck_assert_int_eq(shape_count(&s), 24);
  ck_assert_int_eq(shape_count(&SCALAR), 1);
  ck_assert(!shape_eq(&s, &SH(2, 3)) && !shape_eq(&s, &SH(2, 3, 5)) && shape_eq(&s, &SH(2, 3, 4)));
  char buf[128];
  int64_t big = INT64_MAX;
  Shape huge = SH(big, big, big, big, big, big, big, big);
  ck_assert_int_lt((int)strlen(type_str(DT_F32, &huge, buf)), 128);
}
END_TEST

int main(void) {
  Suite *s = suite_create("ir");
  TCase *t = tcase_create("core");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, every_row_has_a_complete_table_entry);
  tcase_add_test(t, every_row_round_trips);
  tcase_add_test(t, types_are_inferred);
  tcase_add_test(t, copying_preserves_everything);
  tcase_add_test(t, everything_round_trips);
  tcase_add_test(t, doubles_read_back_exactly);
  tcase_add_test(t, hand_written_forms);
  tcase_add_loop_test(t, malformed_text_is_rejected, 0, (int)(sizeof malformed / sizeof *malformed));
  tcase_add_test(t, reader_survives_garbage);
  tcase_add_test(t, verifier_catches_corruption);
  tcase_add_loop_test(t, misuse_is_explained, 0, (int)(sizeof misuse / sizeof *misuse));
  tcase_add_test(t, builder_errors_and_shorthands);
  tcase_add_test(t, diagnostics_have_carets);
  tcase_add_test(t, nearest_names);
  tcase_add_test(t, element_types);
  suite_add_tcase(s, t);
  return run_suite(s);
}
