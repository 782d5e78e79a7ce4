/* Text of the kernel level: lowered programs of every operator case and of random graphs print, read back,
   print the same, and compute the same; text that is not a program is answered by a diagnostic. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pipeline.h"
#include "tests/unit/graph_gen.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

typedef struct {
  char text[4][1 << 22];
  int n;
} Dumps;

static void keep(void *ctx, int number, const char *pass, const char *text) {
  Dumps *d = ctx;
  (void)number;
  if (strcmp(pass, "memplan")) return;
  ck_assert_uint_lt(strlen(text), sizeof d->text[0]);
  strcpy(d->text[d->n++], text);
}

static Program *lower(Arena *a, const Graph *g, const char *cpu, Dumps *dumps) {
  Diags *d = diags_new(a);
  Target t;
  Status st;
  ck_assert(target_named(cpu, &t));
  PipelineOptions opt = {.verify_each = true, .dump = dumps ? keep : NULL, .dump_ctx = dumps};
  Graph *h = pipeline_graph(a, g, &opt, d);
  ck_assert(h != NULL);
  Program *p = pipeline_lower(a, h, &t, &opt, d, &st);
  ck_assert(p != NULL);
  return p;
}

static Program *read_text(Arena *a, const char *text, Diags *d) {
  Source *src = NEW(a, Source);
  *src = (Source){"test.ir", text, strlen(text)};
  ck_assert(program_is_text(src));
  return program_read(a, src, d);
}

static Program *same_text(Arena *a, const char *text, const char *what) {
  Diags *d = diags_new(a);
  Program *q = read_text(a, text, d);
  if (!q) diags_print(d, stderr);
  ck_assert_msg(q != NULL, "%s does not read back", what);
  StrBuf b = {0};
  program_print(q, &b);
  if (strcmp(b.s, text)) {
    size_t i = 0;
    while (b.s[i] == text[i]) i++;
    ck_abort_msg("%s differs when printed again:\n%.200s\n-- was --\n%.200s", what,
                 b.s + (i > 60 ? i - 60 : 0), text + (i > 60 ? i - 60 : 0));
  }
  sb_free(&b);
  return q;
}

static Dumps dumps;

static void round_trip(const Graph *g, const char *cpu, const char *what, Arena *a) {
  dumps.n = 0;
  Program *p = lower(a, g, cpu, &dumps);
  ck_assert_int_eq(dumps.n, 1);
  Program *q = same_text(a, dumps.text[0], what), bare = *p;
  bare.arena_bytes = 0; /* as before memory is planned */
  StrBuf b = {0};
  program_print(&bare, &b);
  same_text(a, b.s, what);
  sb_free(&b);
  const Graph *h = p->graph;
  Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1), *x = NEWN(a, Tensor64, h->outputs.n + 1),
           *y = NEWN(a, Tensor64, h->outputs.n + 1);
  op_case_inputs(h, a, 7, in);
  program_interp(p, in, x, a);
  program_interp(q, in, y, a);
  for (int i = 0; i < h->outputs.n; i++)
    ck_assert_msg(!memcmp(x[i].v, y[i].v, sizeof(double) * (size_t)shape_count(&x[i].shape)),
                  "%s: the program read back computes another %s", what, h->outputs.v[i].name);
}

START_TEST(operators) {
  for (int op = 0; op < OP_COUNT; op++)
    for (int c = 0; c < op_case_count((OpId)op); c++) {
      Arena *a = arena_new();
      char what[96];
      snprintf(what, sizeof what, "%s case %d", op_table[op].name, c);
      round_trip(op_case_build(a, (OpId)op, c), "x86-64-v4", what, a);
      arena_free(a);
    }
}
END_TEST

START_TEST(random_graphs) {
  for (int seed = 0; seed < 150; seed++) {
    Arena *a = arena_new();
    char what[32];
    snprintf(what, sizeof what, "random graph %d", seed);
    round_trip(graph_gen(a, (uint64_t)seed, 8 + seed % 40), seed & 1 ? "x86-64-v3" : "x86-64-v4", what, a);
    arena_free(a);
  }
}
END_TEST

/* Every truncation and thousands of changed bytes: a program or a diagnostic, never a crash. */
START_TEST(damaged) {
  Arena *a = arena_new();
  dumps.n = 0;
  lower(a, graph_gen(a, 5, 30), "x86-64-v3", &dumps);
  const char *text = dumps.text[0];
  size_t n = strlen(text);
  srand(1);
  int rejected = 0;
  for (int i = 0; i < 4000; i++) {
    Arena *t = arena_new();
    Diags *d = diags_new(t);
    char *copy = arena_strdup(t, text);
    if (i < 500) copy[8 + (n - 8) * (size_t)i / 500] = 0;
    else copy[8 + (size_t)rand() % (n - 8)] = " 0123456789%[](){}bki-+,=@#\n"[rand() % 28];
    Program *p = read_text(t, copy, d);
    ck_assert((p == NULL) == (diags_errors(d) > 0));
    rejected += !p;
    arena_free(t);
  }
  ck_assert_int_gt(rejected, 2000);
  arena_free(a);
}
END_TEST

static void expect_error(const char *from, const char *to, const char *message) {
  Arena *a = arena_new();
  dumps.n = 0;
  lower(a, graph_gen(a, 5, 30), "x86-64-v3", &dumps);
  const char *at = strstr(dumps.text[0], from);
  ck_assert_msg(at != NULL, "no '%s' in\n%.2000s", from, dumps.text[0]);
  char *text = arena_printf(a, "%.*s%s%s", (int)(at - dumps.text[0]), dumps.text[0], to, at + strlen(from));
  Diags *d = diags_new(a);
  ck_assert(!read_text(a, text, d));
  char out[2000] = "";
  FILE *f = fmemopen(out, sizeof out, "w");
  diags_print(d, f);
  fclose(f);
  ck_assert_msg(strstr(out, message) != NULL, "no '%s' in: %s", message, out);
  arena_free(a);
}

START_TEST(messages) {
  expect_error("target=x86-64-v3", "target=x86-65", "unknown target");
  expect_error("vector=32", "vector=64", "vectors of 64 bytes");
  expect_error("\ngraph ", "\ngrph ", "graph is missing");
  expect_error("\nk0 loop", "\nk1 loop", "expected k0");
  expect_error("\nk0 loop", "\nk0 lop", "expected loop, gemm, conv");
  expect_error("\nbuf0: ", "\nbuf1: ", "expected buf0");
  expect_error("%1: f32 = sin", "%1: i32 = sin", "%1: element types do not agree");
  expect_error("buf3[i0]", "buf3[1152921504606846976*i0]", "addresses beyond 64 bits");
  expect_error("buf1[i0] = %2", "buf1[i3] = %2", "store 0 depends on a loop dim");
  expect_error("over v3584", "over v9223372036854775807", "outside the range of a program's numbers");
}
END_TEST

/* A convolution asked to run in chunks of whole images says so; an impossible request is a mistake. */
START_TEST(images) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  dumps.n = 0;
  lower(a, op_case_build(a, OP_conv2d, 0), "x86-64-v3", &dumps);
  const char *text = dumps.text[0], *at = strstr(strstr(text, "conv2d.main"), " (");
  int64_t n = strtoll(strstr(text, "x=[") + 3, NULL, 10);
  const char *good = arena_printf(a, "%.*s images=%d%s", (int)(at - text), text, (int)n, at);
  Program *p = same_text(a, good, "chunks of images");
  char err[200];
  ck_assert_msg(program_verify(p, err, sizeof err), "%s", err);
  for (int k = 0; k < p->kernel.n; k++)
    if (p->kernel.v[k].kind == KK_CONV && p->kernel.v[k].conv.images) p->kernel.v[k].conv.images++;
  ck_assert(!program_verify(p, err, sizeof err));
  ck_assert(strstr(err, "cannot run in chunks"));
  ck_assert(!read_text(a, arena_printf(a, "%.*s images=%d%s", (int)(at - text), text, (int)n + 1, at), d));
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("kread");
  TCase *t = tcase_create("kread");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, operators);
  tcase_add_test(t, random_graphs);
  tcase_add_test(t, damaged);
  tcase_add_test(t, messages);
  tcase_add_test(t, images);
  suite_add_tcase(s, t);
  return run_suite(s);
}
