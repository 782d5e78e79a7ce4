/* Dead code elimination: a mark from the outputs, then a copy of what is marked. The signature (arguments,
   parameters, buffers) stays; optimizer slots and run-time scalars nobody reads or replaces go. */
#include "passes/graph/pass.h"

#include "ir/graph/loops.h"

void pass_mark_live(const Graph *g, bool *live) { graph_mark_live(g, live); }

Graph *pass_live_copy(Arena *a, const Graph *in, bool drop_inputs) {
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  bool *live = NEWN(a, bool, in->node.n + 1);
  pass_mark_live(in, live);
  for (int i = 0; i < in->inputs.n; i++) {
    InputKind k = in->inputs.v[i].kind;
    if (!drop_inputs || k == IN_ARG || k == IN_PARAM || k == IN_BUFFER) live[in->inputs.v[i].val] = true;
  }
  for (int i = 0; i < in->outputs.n; i++)
    if (in->outputs.v[i].state >= 0) live[in->inputs.v[in->outputs.v[i].state].val] = true;
  for (Val v = 0; v < in->node.n; v++)
    if (live[v]) map[v] = pass_copy(out, in, v, map);
  pass_outputs(out, in, map);
  return out;
}

Graph *pass_dce(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  return pass_live_copy(a, in, true);
}
