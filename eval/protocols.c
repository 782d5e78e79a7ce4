/* The protocols: a row each. */
#include "eval/parts.h"
#include "ir/lapack.h"

#include <string.h>

typedef struct {
  const char *name;
  void (*plan)(Eval *e); /* adds its tasks, before any protocol is measured; or NULL */
  Status (*measure)(Eval *e);
  const char *entries[2]; /* needed besides encode */
  bool actions;           /* needs data with actions */
  const char *settings;   /* of protocols(...) */
  const char *doc;        /* Markdown */
  bool openblas;          /* calls it */
} Protocol;

static const Protocol protocol_table[] = {
    {"linear", NULL, measure_linear, {NULL, NULL}, false, "images test_images epochs probe alpha",
     "top-1 of a linear probe on the encoder's output for the plain images; confusion of classes", false},
    {"health", NULL, measure_health, {NULL, NULL}, false, "test_images",
     "effective rank (exp of the entropy of the eigenvalues of the covariance of the normalised test "
     "embeddings); their mean standard deviation times sqrt(D): 1 on a uniform sphere, 0 when collapsed",
     true},
    {"r2", plan_r2, measure_r2, {NULL, NULL}, true, "sequences test_sequences redraw action_epochs hidden probe alpha",
     "R2 of the action between two views, from the concatenation of their embeddings, linear and MLP; R2 of "
     "a view's own parameters from its embedding; confusion of actions",
     false},
    {"retrieval", NULL, measure_retrieval, {"target", "predict"}, true, "retrieval_images retrieval_views retrieval_m",
     "MRR, H@1, H@5: from an image's first view and the action to each other view, that view is predicted "
     "and looked for among all the other views by cosine; equally near ones share their ranks, so a constant "
     "embedding finds by chance. The predictor's loss (1 - cosine) with the true actions, with those of "
     "another image, and with zeros. Beside it SIE's protocol: all views asked for, the first too, each looked "
     "for among all. `retrieval_m`: the same from the aggregate of so many views, with entries `aggregate` and `lead`", false},
    {"aggregate", plan_aggregate, measure_aggregate, {NULL, NULL}, true, "m_val sequences test_sequences redraw epochs probe alpha",
     "top-1 of a linear probe on the aggregate of M views, on the plain mean of the same views' embeddings, "
     "and on that mean with an untrained encoder", false},
    {"path", plan_path, measure_path, {"aggregate", NULL}, true, "path sequences test_sequences redraw path_epochs path_hidden",
     "path integration: R2 of the action that leads from view 1 to view M + 1, from the aggregate of M views "
     "and the embedding of action M; with all embeddings of actions set to zero; with those of the views set "
     "to zero. For M = 1 the action is given", false},
    {"attention", NULL, measure_attention, {"aggregate", "attend"}, true, "m_val test_sequences",
     "what share of its attention the aggregate gives to each of the most views of `m_val`, in the report with the views", false},
    {"maps", NULL, measure_maps, {NULL, NULL}, false, "test_images test_sequences",
     "principal components of the test samples' embeddings, in the report", true},
};
enum { NPROTOCOL = sizeof protocol_table / sizeof *protocol_table };

/* Words with `between` between them, and `last` before the last one. */
static const char *joined(Arena *a, const char *const *word, int n, const char *between, const char *last) {
  const char *s = n ? word[0] : "";
  for (int i = 1; i < n; i++) s = arena_printf(a, "%s%s%s", s, i + 1 < n ? between : last, word[i]);
  return s;
}

void eval_reference(StrBuf *b) {
  sb_printf(b, "| name | needs | settings | figures |\n|-|-|-|-|\n");
  Arena *a = arena_new();
  for (int i = 0; i < NPROTOCOL; i++) {
    const Protocol *p = &protocol_table[i];
    const char *need[3], *setting[8];
    int n = 0, m = 0;
    for (int k = 0; k < 2; k++)
      if (p->entries[k]) need[n++] = arena_printf(a, "`%s`", p->entries[k]);
    if (p->actions && !n) need[n++] = "actions"; /* those entries take actions */
    for (const char *s = p->settings; *s; s += strspn(s, " ")) {
      size_t len = strcspn(s, " ");
      setting[m++] = arena_printf(a, "`%.*s`", (int)len, s);
      s += len;
    }
    sb_printf(b, "| `%s` | %s | %s | %s |\n", p->name, joined(a, need, n, ", ", ", "),
              joined(a, setting, m, ", ", ", "), p->doc);
  }
  arena_free(a);
}

static bool in_words(const char *list, const char *name) {
  size_t n = strlen(name);
  for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
    if (!strncmp(p, name, n) && (p[n] == ',' || !p[n])) return true;
  return false;
}

bool protocols_asked(const Eval *e, const char *name) {
  return !e->opt->protocols || in_words(e->opt->protocols, name);
}

Status protocols_check(Eval *e) {
  const char *names[NPROTOCOL];
  for (int i = 0; i < NPROTOCOL; i++) names[i] = protocol_table[i].name;
  for (const char *p = e->opt->protocols; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
    const char *word = arena_strndup(e->arena, p, strcspn(p, ","));
    bool known = false;
    for (int i = 0; i < NPROTOCOL; i++) known = known || !strcmp(word, names[i]);
    if (known) continue;
    eval_fail(e, ST_USAGE, "there is no protocol '%s'", word);
    const char *near = nearest_name(word, names, NPROTOCOL);
    if (near) diag_note(e->diags, NULL, "did you mean '%s'?", near);
    else diag_note(e->diags, NULL, "there are %s", joined(e->arena, names, NPROTOCOL, ", ", " and "));
    return ST_USAGE;
  }
  return ST_OK;
}

/* Why a protocol cannot be measured, or NULL. */
static const char *obstacle(const Eval *e, const Protocol *p) {
  if (p->actions && !e->nact) return "the data have no actions";
  for (int i = 0; i < 2; i++)
    if (p->entries[i] && !entry_offered(e, p->entries[i]))
      return arena_printf(e->arena, "the model has no entry '%s'", p->entries[i]);
  return NULL;
}

Status protocols_measure(Eval *e) {
  const char *asked = e->opt->protocols;
  bool wanted[NPROTOCOL];
  for (int i = 0; i < NPROTOCOL; i++) {
    const Protocol *p = &protocol_table[i];
    const char *why = (wanted[i] = !asked || in_words(asked, p->name)) ? obstacle(e, p) : NULL;
    if (why && asked) return eval_fail(e, ST_MODEL, "protocol %s cannot be measured: %s", p->name, why);
    wanted[i] = wanted[i] && !why;
    char missing[200];
    if (wanted[i] && p->openblas && !lapack_there(missing, sizeof missing))
      return eval_fail(e, ST_FILE, "protocol %s cannot be measured: %s", p->name, missing);
    if (wanted[i] && p->plan) p->plan(e);
  }
  for (int i = 0; i < NPROTOCOL; i++) {
    if (!wanted[i]) continue;
    double start = now_seconds();
    Status s = protocol_table[i].measure(e);
    if (s) return s;
    if (e->opt->timed) e->opt->timed(e->opt->ctx, protocol_table[i].name, now_seconds() - start);
  }
  return ST_OK;
}
