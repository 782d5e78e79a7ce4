/* A graph that fails, made smaller while it fails in the same way: results are left out, values replaced by operands of theirs or
   by arguments (sweep.h). */
#include "tests/sweep/sweep.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "passes/graph/pass.h"

static Graph *read_graph(Arena *a, const char *file) {
  Graph *g;
  const Source *s = source_read(a, file);
  return s && graph_read(a, s, diags_new(a), &g, 1) == 1 ? g : NULL;
}

/* Without output `drop`, and with v replaced by another value, or by an argument; what is not needed any more goes too. */
static Graph *changed(Arena *a, const Graph *g, int drop, Val v, Val by) {
  Graph *h = graph_new(a, g->name);
  Val *map = NEWN(a, Val, g->node.n + 1);
  for (Val i = 0; i < g->node.n; i++) {
    const Node *n = g_node(g, i);
    if (i == v && by >= 0) map[i] = map[by];
    else if (i == v) map[i] = g_input(h, arena_printf(a, "r%d", i), IN_ARG, n->dt, &n->shape, NULL);
    else map[i] = pass_copy(h, g, i, map);
  }
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    int state = o->state < 0 ? -1 : g_find_input(h, g->inputs.v[o->state].name);
    if (i != drop) g_output(h, o->name, map[o->val], state);
  }
  return pass_dce(a, h, diags_new(a));
}

static bool write_changed(const char *from, const char *to, int drop, Val v, Val by) {
  pid_t pid = fork();
  int status = 1;
  if (pid == 0) { /* a bug() where no such graph can be built ends this process only */
    Arena *a = arena_new();
    StrBuf b = {0};
    char err[256];
    const Graph *g = read_graph(a, from);
    if (!freopen("/dev/null", "w", stderr) || !g) _exit(1);
    Graph *h = changed(a, g, drop, v, by);
    if (!h || !graph_verify(h, err, sizeof err)) _exit(1);
    graph_print(h, &b);
    FILE *f = fopen(to, "w");
    _exit(!f || fwrite(b.s, 1, b.n, f) != b.n || fclose(f));
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int case_smaller(const char *file, const char *trial, bool (*fails)(void *of), void *of) {
  int taken = 0;
  for (bool again = true; again;) {
    again = false;
    Arena *a = arena_new();
    const Graph *g = read_graph(a, file);
    int outputs = g ? g->outputs.n : 0;
    Val n = g ? g->node.n : 0;
    for (int i = outputs - 1; i >= 0 && !again; i--)
      again = outputs > 1 && write_changed(file, trial, i, -1, -1) && fails(of);
    for (Val v = n - 1; v >= 0 && !again; v--) {
      const Node *x = g_node(g, v);
      for (int k = 0; k < x->nin && !again; k++) {
        const Node *y = g_node(g, x->in[k]);
        if (y->dt != x->dt || !shape_eq(&y->shape, &x->shape)) continue;
        again = write_changed(file, trial, -1, v, x->in[k]) && fails(of);
      }
      if (!again && x->op != OP_input && x->op != OP_fill && x->op != OP_iota)
        again = write_changed(file, trial, -1, v, -1) && fails(of);
    }
    arena_free(a);
    if (again) again = !rename(trial, file), taken++;
  }
  return taken;
}
