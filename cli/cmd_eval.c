/* jepac eval: options, eval_run (eval/eval.h), and what it says on standard output. */
#include "cli/cli.h"
#include "eval/eval.h"

static void print(void *ctx, const char *text) {
  (void)ctx;
  fputs(text, stdout);
}

static void timed(void *ctx, const char *protocol, double seconds) {
  (void)ctx;
  fprintf(stderr, "%s: %.2f s\n", protocol, seconds);
}

Status cmd_eval(Cli *c) {
  const Options *o = &c->opt;
  EvalOptions e = {.protocols = o->protocols,
                   .m_val = o->m_val,
                   .images = o->train_images,
                   .test_images = o->test_images,
                   .sequences = o->train_sequences,
                   .test_sequences = o->test_sequences,
                   .retrieval_views = o->retrieval_views,
                   .data = o->data,
                   .export_to = o->export_to,
                   .keep = true,
                   .print = o->json ? NULL : print,
                   .timed = o->verbose ? timed : NULL};
  StrBuf json = {0};
  Status s = eval_run(cli_compiler(c), o->arg[0], &e, &json);
  if (!s && o->json) fputs(json.s, stdout);
  sb_free(&json);
  return s;
}
