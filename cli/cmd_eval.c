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
  (void)OPT(c, set);
  Status s = cli_ranks_start(c);
  if (s) return s;
  bool first = !c->ranks || c->ranks->rank == 0;
  const char *out = OPT(c, params) ? OPT(c, out) : NULL;
  if (OPT(c, params) && OPT(c, best))
    return cli_fail(c, ST_USAGE, "--best is of a run, and --params of a model file");
  EvalOptions o = {.protocols = OPT(c, protocols),
                   .m_val = OPT(c, m_val),
                   .images = OPT(c, train_images),
                   .test_images = OPT(c, test_images),
                   .sequences = OPT(c, train_sequences),
                   .test_sequences = OPT(c, test_sequences),
                   .retrieval_views = OPT(c, retrieval_views),
                   .data = OPT(c, data),
                   .test_data = OPT(c, test_data),
                   .export_to = OPT(c, export_to),
                   .best = OPT(c, best),
                   .ranks = c->ranks,
                   .keep = first,
                   .params = OPT(c, params),
                   .out = out,
                   .print = OPT(c, json) || !first ? NULL : print,
                   .timed = OPT(c, verbose) && first ? timed : NULL};
  StrBuf json = {0};
  s = eval_run(cli_compiler(c, FOR_PASSES | FOR_LOWERING | FOR_CODE), c->opt.arg[0], &o, &json);
  s = cli_ranks_settle(c, s);
  if (!s && OPT(c, json) && first) fputs(json.s, stdout);
  sb_free(&json);
  return s;
}
