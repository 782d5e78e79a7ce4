/* How much is measured: the recipe's protocols(...), then the options, then what the data have. */
#include "eval/parts.h"
#include "runtime/data/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Status take_list(Eval *e, const Setting *s, int64_t most, IntList *out) {
  if (s->nitem > MAX_M) {
    diag_error(e->diags, s->loc, "%s holds at most %d numbers", s->name, MAX_M);
    return ST_MODEL;
  }
  out->n = s->nitem;
  for (int i = 0; i < s->nitem; i++) {
    double v = s->item[i].num;
    if (s->item[i].kind != SET_NUM || v != floor(v) || v < 1 || v > (double)most) {
      diag_error(e->diags, s->loc, "%s holds whole numbers from 1 to %lld", s->name, (long long)most);
      return ST_MODEL;
    }
    out->v[i] = (int64_t)v;
  }
  return ST_OK;
}

static Status parse_list(Eval *e, const char *option, const char *text, IntList *out) {
  out->n = 0;
  for (const char *p = text; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
    char *end;
    long long v = strtoll(p, &end, 10);
    if (end == p || (*end && *end != ',') || v < 1 || v > MAX_M || out->n == MAX_M)
      return eval_fail(e, ST_USAGE, "--%s needs whole numbers from 1 to %d such as 1,3,5, not '%s'", option,
                      MAX_M, text);
    out->v[out->n++] = v;
  }
  return ST_OK;
}

/* The settings of protocols(...) (frontend/std/eval.jepa), and what goes before them. */
static const struct {
  const char *name;
  enum { SIZE_COUNT, SIZE_LIST, SIZE_REAL, SIZE_PROBE } kind;
  size_t at, option; /* in Sizes; in EvalOptions, 0: none (its first field is no number) */
  int64_t most;      /* of a list's numbers */
} setting_table[] = {
#define LIST(NAME, MOST) {#NAME, SIZE_LIST, offsetof(Sizes, NAME), 0, MOST}
#define COUNT(NAME) {#NAME, SIZE_COUNT, offsetof(Sizes, NAME), 0, 0}
#define COUNT_OR(NAME, OPTION) {#NAME, SIZE_COUNT, offsetof(Sizes, NAME), offsetof(EvalOptions, OPTION), 0}
    LIST(m_val, MAX_M),
    LIST(path, MAX_M),
    LIST(hidden, 1 << 16),
    LIST(path_hidden, 1 << 16),
    LIST(retrieval_m, MAX_M),
    COUNT_OR(images, images),
    COUNT_OR(test_images, test_images),
    COUNT_OR(sequences, sequences),
    COUNT_OR(test_sequences, test_sequences),
    COUNT_OR(retrieval_images, test_sequences),
    COUNT_OR(retrieval_views, retrieval_views),
    COUNT(epochs),
    COUNT(action_epochs),
    COUNT(path_epochs),
    COUNT(redraw),
    {"probe", SIZE_PROBE, 0, 0, 0},
    {"alpha", SIZE_REAL, offsetof(Sizes, alpha), 0, 0},
};
enum { NSETTING = sizeof setting_table / sizeof *setting_table };

static Status decide_sizes(Eval *e) {
  Sizes *z = &e->size;
  const Recipe *r = e->recipe;
  const EvalOptions *o = e->opt;
  if (r->neval != NSETTING) bug("protocols(...) has %d settings, not %d", r->neval, NSETTING);
  for (int i = 0; i < NSETTING; i++) {
    const Setting *s = setting_find(r->eval, r->neval, setting_table[i].name);
    void *at = (char *)z + setting_table[i].at;
    if (!s) bug("protocols(...) has no setting %s", setting_table[i].name);
    if (setting_table[i].kind == SIZE_PROBE) z->ridge = !strcmp(s->str, "ridge");
    if (setting_table[i].kind == SIZE_REAL) *(double *)at = s->num;
    if (setting_table[i].kind == SIZE_LIST) {
      Status bad = take_list(e, s, setting_table[i].most, at);
      if (bad) return bad;
    }
    if (setting_table[i].kind != SIZE_COUNT) continue;
    size_t option = setting_table[i].option;
    int64_t given = option ? *(const int64_t *)(const void *)((const char *)o + option) : 0;
    *(int64_t *)at = given > 0 ? given : (int64_t)s->num;
  }
  if (z->retrieval_views < 2 || z->retrieval_views > MAX_VIEWS)
    return eval_fail(e, ST_USAGE, "--retrieval-views needs 2 (one of them is the query) to %d", MAX_VIEWS);
  if (o->m_val) {
    Status s = parse_list(e, "m-val", o->m_val, &z->m_val);
    if (!s) s = parse_list(e, "m-val", o->m_val, &z->path);
    if (s) return s;
  }
  if (!z->m_val.n || !z->path.n)
    return eval_fail(e, ST_MODEL, "m_val and path name at least one number of views");
  return ST_OK;
}

static void drop_beyond(IntList *l, int64_t most) {
  int n = 0;
  for (int i = 0; i < l->n; i++)
    if (l->v[i] <= most) l->v[n++] = l->v[i];
  l->n = n;
}

/* As many views as the largest M needs, and those of the pairs; an object may have fewer pictures. */
static Status decide_views(Eval *e) {
  Sizes *z = &e->size;
  int64_t need = 4;
  for (int i = 0; i < z->m_val.n; i++) need = z->m_val.v[i] > need ? z->m_val.v[i] : need;
  for (int i = 0; i < z->path.n; i++) need = z->path.v[i] + 1 > need ? z->path.v[i] + 1 : need;
  const Setting *s = setting_find(e->recipe->data.set, e->recipe->data.nset, "per_object");
  const Setting *test = setting_find(e->recipe->data.set, e->recipe->data.nset, "test_per_object");
  if (s && test && test->num < s->num) s = test;
  int64_t have = s ? (int64_t)s->num : need > z->retrieval_views ? need : z->retrieval_views;
  if (have < 2) return eval_fail(e, ST_MODEL, "eval needs at least two views of a sample");
  e->views = need < have ? need : have;
  if (z->retrieval_views > have) z->retrieval_views = have;
  drop_beyond(&z->m_val, have);
  drop_beyond(&z->path, have - 1);
  drop_beyond(&z->retrieval_m, z->retrieval_views - 1);
  if (!z->m_val.n || !z->path.n)
    return eval_fail(e, ST_MODEL, "the data have %lld views of a sample, too few for the M asked for",
                    (long long)have);
  return ST_OK;
}


Status sizes_decide(Eval *e) {
  Status s = decide_sizes(e);
  return s ? s : decide_views(e);
}
