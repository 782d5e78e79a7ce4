/* Writes what the runtime recorded: a slice a kernel and thread, named by its model line. */
#include "cli/trace.h"
#include "cli/explain.h"
#include "lib/ranks.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int64_t step;
  double begin;
} Start;

struct Trace {
  Cli *c;
  const Compiled *k;
  VEC(Start) start;
};

Trace *trace_new(Cli *c, const Compiled *k) {
  Trace *t = NEW(c->arena, Trace);
  t->c = c;
  t->k = k;
  session_trace(k->session, true);
  return t;
}

void trace_step(Trace *t, int64_t step) {
  Start s = {step, now_seconds()};
  vec_push(t->c->arena, &t->start, s);
}

static void put_event(const Trace *t, json_t *out, const SessionEvent *e, int thread, const Start *at) {
  const Kernel *k = &t->k->program->kernel.v[e->step];
  const Step *s = &t->k->plan->step[e->step];
  char name[200];
  snprintf(name, sizeof name, "%s %s", s->where && *s->where ? s->where : "(no line)", s->name);
  json_array_append_new(
      out,
      json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:{s:i, s:I, s:i, s:s, s:f, s:f}}", "name", name, "cat",
                role_word(k->role), "ph", "X", "pid", TRACE_RANK + (t->c->ranks ? t->c->ranks->rank : 0),
                "tid", thread, "ts", (e->begin - t->start.v[0].begin) * 1e6, "dur", (e->end - e->begin) * 1e6,
                "args", "kernel", e->step, "step", (json_int_t)at->step, "chunks", e->chunks, "line",
                s->where ? s->where : "", "flops", s->flops, "bytes", s->bytes));
}

static json_t *own_events(const Trace *t) {
  Session *s = t->k->session;
  const Ranks *r = t->c->ranks;
  json_t *events = json_array();
  int pid = TRACE_RANK + (r ? r->rank : 0);
  if (r)
    json_array_append_new(events,
                          json_pack("{s:s, s:s, s:i, s:{s:o}}", "name", "process_name", "ph", "M", "pid", pid,
                                    "args", "name", json_sprintf("rank %d, %s", r->rank, r->host)));
  for (int i = 0, threads = session_threads(s); i <= threads; i++) {
    int n, at = 0;
    const SessionEvent *e = session_events(s, i, &n);
    if (i == threads && !n) break;
    json_t *name = i < threads ? json_sprintf("thread %d", i) : json_string("between ranks");
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:o}}", "name", "thread_name", "ph", "M",
                                            "pid", pid, "tid", i, "args", "name", name));
    for (int j = 0; j < n && t->start.n; j++) {
      while (at + 1 < t->start.n && t->start.v[at + 1].begin <= e[j].begin) at++;
      put_event(t, events, &e[j], i, &t->start.v[at]);
    }
  }
  return events;
}

static char *text_of(json_t *j) {
  char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
  json_decref(j);
  if (!text) bug("a trace could not be written as JSON");
  return text;
}

/* Those of all ranks, each a process that began its first step at 0; on rank 0. */
static json_t *all_events(const Trace *t) {
  json_t *events = own_events(t);
  Ranks *r = t->c->ranks;
  if (!r) return events;
  char *own = text_of(events), *all = ranks_texts(r, own), *text = all;
  events = json_array();
  for (int k = 0; k < r->count && r->rank == 0; k++, text += strlen(text) + 1) {
    json_t *more = json_loads(text, 0, NULL);
    json_array_extend(events, more);
    json_decref(more);
  }
  free(own);
  free(all);
  return events;
}

Status trace_write(Trace *t, const char *path) {
  session_trace(t->k->session, false);
  char hash[32];
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)program_hash(t->k->program));
  json_t *events = all_events(t);
  if (t->c->ranks && t->c->ranks->rank) {
    json_decref(events);
    return ST_OK;
  }
  char *text = text_of(json_pack("{s:o, s:s, s:{s:s, s:s, s:i}}", "traceEvents", events, "displayTimeUnit",
                                 "ms", "otherData", "program", hash, "model", t->c->opt.arg[0], "kernels",
                                 t->k->plan->nstep));
  Status st = cli_write_text(t->c, path, text, strlen(text));
  free(text);
  return st;
}
