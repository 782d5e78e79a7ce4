/* The text form of graphs, one value a line (ir/graph/read.c reads it back):

     graph forward {
       %0: f32[64,3,3,3] = param "conv1.weight" {init=uniform(-0.19,0.19), stream=3}  # resnet.jepa:14:7
       %5: f32[8,64,32,32] = conv2d %3, %0 {stride=[1,1], pad=[1,1]}  # resnet.jepa:20 < m.jepa:12:3
       %6: f32[4] = fill {value=0.5}  # resnet.jepa:20 ; grad
       return "loss" %9
       update "bn1.running_mean" %20
     }

   Everything that distinguishes two graphs is printed; value numbers are the node indices. */
#include "ir/graph/ops_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const input_kind_names[INPUT_KINDS] = {"arg", "param", "buffer", "slot", "runtime"};
const char *const init_kind_names[INIT_KINDS] = {"none", "fill", "uniform", "normal", "copy"};
const char *const role_names[ROLES] = {"forward", "grad", "update"};

static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool text_is_word_char(char c, bool first) { return is_alpha(c) || (!first && (is_digit(c) || c == '.')); }
bool text_is_path_char(char c) { return is_alpha(c) || is_digit(c) || (c && strchr("./+@,~-", c)); }

static void print_quoted(StrBuf *out, const char *s) {
  sb_put(out, "\"", 1);
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') sb_printf(out, "\\%c", c);
    else if (c < 32 || c == 127) sb_printf(out, "\\x%02x", c);
    else sb_put(out, s, 1);
  }
  sb_put(out, "\"", 1);
}

static void print_name(StrBuf *out, const char *s) {
  bool bare = *s != 0;
  for (const char *p = s; *p; p++) bare = bare && text_is_word_char(*p, p == s);
  if (bare) sb_printf(out, "%s", s);
  else print_quoted(out, s);
}

static void print_number(StrBuf *out, Imm v) {
  char text[40];
  sb_printf(out, "%s", imm_text(v, text));
}

void print_loc(StrBuf *out, const Loc *l) {
  for (const Loc *at = l; at; at = at->up) {
    if (at != l) sb_printf(out, " < ");
    const char *path = at->src ? at->src->path : "?";
    bool bare = *path != 0;
    for (const char *p = path; at->src && *p; p++) bare = bare && text_is_path_char(*p);
    if (bare) sb_printf(out, "%s", path);
    else print_quoted(out, path);
    sb_printf(out, ":%d", at->line);
    if (at->col > 0) sb_printf(out, ":%d", at->col);
  }
}

static void print_init(StrBuf *out, const Init *i) {
  if (i->kind == INIT_NONE && i->stream == 0) return;
  const char *sep = "";
  sb_printf(out, " {");
  if (i->kind != INIT_NONE) {
    sb_printf(out, "init=%s(", init_kind_names[i->kind]);
    if (i->kind == INIT_COPY) print_quoted(out, i->from);
    else print_number(out, i->a);
    if (i->kind == INIT_UNIFORM || i->kind == INIT_NORMAL) {
      sb_printf(out, ",");
      print_number(out, i->b);
    }
    sb_printf(out, ")");
    sep = ", ";
  }
  if (i->stream) sb_printf(out, "%sstream=%u", sep, i->stream);
  sb_printf(out, "}");
}

static void print_attrs(StrBuf *out, const Node *n) {
  int na = op_nattr(n->op);
  bool imm = op_has_imm(n->op);
  if (na == 0 && !imm) return;
  sb_printf(out, " {");
  const char *sep = "";
  for (int i = 0; i < na; i++) {
    char name[32];
    if (!n->attr[i].n && op_attr_optional(n->op, i)) continue;
    sb_printf(out, "%s%s=[", sep, op_attr_name(n->op, i, name));
    sep = ", ";
    for (int k = 0; k < n->attr[i].n; k++) sb_printf(out, "%s%lld", k ? "," : "", (long long)n->attr[i].v[k]);
    sb_printf(out, "]");
  }
  if (imm) {
    sb_printf(out, "%svalue=", sep);
    print_number(out, n->imm);
  }
  sb_printf(out, "}");
}

static void print_extern(StrBuf *out, const Extern *e) {
  sb_printf(out, " {library=");
  print_quoted(out, e->library);
  sb_printf(out, ", symbol=");
  print_quoted(out, e->symbol);
  if (e->vjp) {
    sb_printf(out, ", vjp=");
    print_quoted(out, e->vjp);
  }
  sb_printf(out, "}");
}

void graph_print(const Graph *g, StrBuf *out) {
  sb_printf(out, "graph ");
  print_name(out, g->name);
  if (g->precision) sb_printf(out, " precision=%s", dtype_name(g->precision));
  if (g->ranks > 1) sb_printf(out, " ranks=%d", g->ranks);
  if (g->spread > 1) sb_printf(out, " spread=%d", g->spread);
  sb_printf(out, " {\n");
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    char type[128];
    sb_printf(out, "  %%%d: %s = ", v, type_str(n->dt, &n->shape, type));
    if (n->op == OP_input) {
      const Input *i = &g->inputs.v[n->input];
      sb_printf(out, "%s ", input_kind_names[i->kind]);
      print_quoted(out, i->name);
      print_init(out, &i->init);
    } else {
      sb_printf(out, "%s", op_table[n->op].name);
      for (int i = 0; i < n->nin; i++) sb_printf(out, "%s%%%d", i ? ", " : " ", n->in[i]);
      print_attrs(out, n);
      if (n->ext) print_extern(out, n->ext);
    }
    if (n->loc || n->role != ROLE_FORWARD) sb_printf(out, "  #");
    if (n->loc) {
      sb_printf(out, " ");
      print_loc(out, n->loc);
    }
    if (n->role != ROLE_FORWARD) sb_printf(out, " ; %s", role_names[n->role]);
    sb_printf(out, "\n");
  }
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    sb_printf(out, o->state >= 0 ? "  update " : "  return ");
    print_quoted(out, o->name);
    sb_printf(out, " %%%d\n", o->val);
  }
  sb_printf(out, "}\n");
}
