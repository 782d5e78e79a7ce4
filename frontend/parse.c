/* Recursive-descent parser of model files. Each function is named after the grammar rule above it. Line
   breaks end statements except inside ( ) and [ ]; a comma or semicolon may separate statements on one line. */
#include "frontend/ast.h"

#include <string.h>

enum { MAX_NESTING = 120, MAX_CHAIN = 400 };

typedef struct {
  Arena *arena;
  Diags *diags;
  Intern *names;
  const Source *src;
  Token *tok;   /* the next token */
  int brackets; /* open ( and [: line breaks do not count inside */
  int depth;
  struct OpenBlock *block; /* the innermost */
  const Token *lacks,
      *lacks_before; /* brace of the first closed block that had `outside`, and that; or NULL */
  bool failed;       /* a statement had an error, and the parser went on to find others */
  bool lost;         /* a brace is missing: what follows is not understood */
} Parser;

/* A block that is being read. Its statements stand further right than the line it begins in, where files are laid out so;
   the first that does not is where its brace may be missing. */
typedef struct OpenBlock {
  const Token *brace, *outside;
  int column; /* of the line it begins in */
  struct OpenBlock *up;
} OpenBlock;

typedef VEC(Ast *) AstVec;

static Ast *parse_expr(Parser *p);
static Ast *parse_block(Parser *p);

/* ---- tokens ---- */

static const Loc *token_loc(Parser *p, const Token *at) {
  Loc *l = NEW(p->arena, Loc);
  *l = (Loc){p->src, at->line, at->col, NULL, NULL};
  return l;
}

static _Noreturn void parse_error(Parser *p, const Token *at, const char *text) {
  diag_error(p->diags, token_loc(p, at), "%s", text);
  diag_throw(p->diags);
}

static const char *token_text(Parser *p, const Token *t) {
  if (t->kind == TK_END) return "the end of the file";
  if (t->end - t->begin > 40) return t->kind == TK_STR ? "a string" : "a long word";
  return arena_printf(p->arena, "`%.*s`", t->end - t->begin, p->src->text + t->begin);
}

static _Noreturn void expected(Parser *p, const char *what) {
  parse_error(p, p->tok, arena_printf(p->arena, "expected %s, found %s", what, token_text(p, p->tok)));
}

static bool token_is(const Token *t, const char *text) {
  return (t->kind == TK_PUNCT || t->kind == TK_NAME) && name_is(t->text, text);
}

/* A line break in front of the next token ends the statement. */
static bool at_line_end(const Parser *p) { return p->tok->nl && p->brackets == 0; }

static bool accept(Parser *p, const char *text) {
  if (!token_is(p->tok, text)) return false;
  p->tok++;
  return true;
}

static void expect(Parser *p, const char *text, const char *where) {
  if (!accept(p, text)) expected(p, arena_printf(p->arena, "`%s` %s", text, where));
}

static bool is_reserved(const char *s) {
  static const char *const words[] = {"if",  "then",   "else",   "for", "in",   "and",   "or",
                                      "not", "return", "repeat", "use", "true", "false", "none"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (name_is(s, words[i])) return true;
  return false;
}

static const char *expect_name(Parser *p, const char *what) {
  if (p->tok->kind != TK_NAME) expected(p, what);
  if (is_reserved(p->tok->text))
    parse_error(p, p->tok,
                arena_printf(p->arena, "`%s` is a keyword and cannot be used as a name", p->tok->text));
  return (p->tok++)->text;
}

static void open_bracket(Parser *p, const char *text, const char *where) {
  expect(p, text, where);
  p->brackets++;
}

static void close_bracket(Parser *p, const char *text, const char *where) {
  expect(p, text, where);
  p->brackets--;
}

/* ---- nodes ---- */

static Ast *node(Parser *p, AstKind kind, const Token *at) {
  Ast *a = NEW(p->arena, Ast);
  *a = (Ast){.kind = kind, .line = at->line, .col = at->col, .begin = at->begin, .src = p->src};
  return a;
}

static Ast *finish(Parser *p, Ast *a, const AstVec *kids) {
  if (kids) {
    a->kid = kids->v;
    a->nkid = kids->n;
  }
  a->end = p->tok[-1].end;
  return a;
}

static Ast *node2(Parser *p, AstKind kind, const Token *at, Ast *x, Ast *y) {
  AstVec kids = {0};
  vec_push(p->arena, &kids, x);
  vec_push(p->arena, &kids, y);
  return finish(p, node(p, kind, at), &kids);
}

static Ast *node1(Parser *p, AstKind kind, const Token *at, Ast *x) {
  Ast *a = node2(p, kind, at, x, NULL);
  a->nkid = 1;
  return a;
}

static void enter(Parser *p) {
  if (++p->depth > MAX_NESTING) parse_error(p, p->tok, "nested too deeply");
}

/* ---- expressions ---- */

/* type := NAME ["[" [dim {"," dim}] "]"];  dim := "..." | expr */
static Ast *parse_type(Parser *p) {
  Token *at = p->tok;
  Ast *t = node(p, AST_TYPE, at);
  t->name = expect_name(p, "a type such as f32[B, 3]");
  AstVec kids = {0};
  if (token_is(p->tok, "[") && !at_line_end(p)) {
    open_bracket(p, "[", "");
    t->num = 1;
    while (!token_is(p->tok, "]")) {
      Token *dim = p->tok;
      vec_push(p->arena, &kids, accept(p, "...") ? node(p, AST_ELLIPSIS, dim) : parse_expr(p));
      if (!accept(p, ",")) break;
    }
    close_bracket(p, "]", "after the extents of a type");
  }
  return finish(p, t, &kids);
}

/* arg := [NAME "="] expr | "*" expr */
static Ast *parse_arg(Parser *p) {
  Token *at = p->tok;
  if (accept(p, "*")) return node1(p, AST_SPREAD, at, parse_expr(p));
  const char *name = NULL;
  if (at->kind == TK_NAME && token_is(at + 1, "=")) {
    name = expect_name(p, "an argument");
    p->tok++;
  }
  Ast *a = node1(p, AST_ARG, at, parse_expr(p));
  a->name = name;
  return a;
}

/* args := "(" [arg {"," arg}] ")" */
static void parse_args(Parser *p, AstVec *kids) {
  open_bracket(p, "(", "before the arguments");
  while (!token_is(p->tok, ")")) {
    vec_push(p->arena, kids, parse_arg(p));
    if (!accept(p, ",")) break;
  }
  close_bracket(p, ")", "or `,` after an argument");
}

/* index := "..." | expr | [expr] ":" [expr] [":" [expr]] */
static Ast *parse_index(Parser *p) {
  Token *at = p->tok;
  if (accept(p, "...")) return node(p, AST_ELLIPSIS, at);
  Ast *part[3] = {0};
  bool colon = false;
  for (int i = 0; i < 3; i++) {
    if (!token_is(p->tok, ":") && !token_is(p->tok, ",") && !token_is(p->tok, "]")) part[i] = parse_expr(p);
    if (i == 2 || !accept(p, ":")) break;
    colon = true;
  }
  if (!colon) {
    if (!part[0]) expected(p, "an index or a slice such as `1:` or `:`");
    return part[0];
  }
  AstVec kids = {0};
  for (int i = 0; i < 3; i++) vec_push(p->arena, &kids, part[i]);
  return finish(p, node(p, AST_SLICE, at), &kids);
}

/* list := "[" [item {"," item}] "]" | "[" expr "for" NAME "in" expr ["if" expr] "]";  item := expr | "*" expr */
static Ast *parse_list(Parser *p) {
  Token *at = p->tok;
  AstVec kids = {0};
  open_bracket(p, "[", "");
  Ast *list = node(p, AST_LIST, at);
  while (!token_is(p->tok, "]")) {
    Token *item = p->tok;
    vec_push(p->arena, &kids, accept(p, "*") ? node1(p, AST_SPREAD, item, parse_expr(p)) : parse_expr(p));
    if (kids.n == 1 && accept(p, "for")) {
      list->kind = AST_COMP;
      list->name = expect_name(p, "the name of the loop variable");
      expect(p, "in", "after the loop variable");
      vec_push(p->arena, &kids, parse_expr(p));
      if (accept(p, "if")) vec_push(p->arena, &kids, parse_expr(p));
      break;
    }
    if (!accept(p, ",")) break;
  }
  close_bracket(p, "]", "or `,` in a list");
  return finish(p, list, &kids);
}

/* primary := ["every"] NUM [unit] | STR | NAME | list | "(" expr ")" | "if" expr "then" expr "else" expr;  unit :=
   epochs|steps|% */
static Ast *parse_primary(Parser *p) {
  Token *at = p->tok;
  if (token_is(at, "every") && at[1].kind == TK_NUM && !at[1].nl) p->tok++;
  if (p->tok->kind == TK_NUM) {
    Ast *a = node(p, AST_NUM, at);
    a->num = p->tok->num;
    p->tok++;
    bool same_line = !p->tok->nl;
    if (same_line && (token_is(p->tok, "epochs") || token_is(p->tok, "epoch"))) a->name = "epochs";
    if (same_line && (token_is(p->tok, "steps") || token_is(p->tok, "step"))) a->name = "steps";
    if (same_line && token_is(p->tok, "%")) a->name = "%";
    if (a->name) p->tok++;
    return finish(p, a, NULL);
  }
  if (at->kind == TK_STR) {
    p->tok++;
    Ast *a = node(p, AST_STR, at);
    a->name = at->text;
    return finish(p, a, NULL);
  }
  if (token_is(at, "[")) return parse_list(p);
  if (token_is(at, "(")) {
    open_bracket(p, "(", "");
    Ast *a = parse_expr(p);
    close_bracket(p, ")", "to close the parenthesis");
    return a;
  }
  if (accept(p, "if")) {
    AstVec kids = {0};
    p->brackets++; /* a conditional may run over several lines */
    vec_push(p->arena, &kids, parse_expr(p));
    expect(p, "then", "after the condition");
    vec_push(p->arena, &kids, parse_expr(p));
    expect(p, "else", "after the first alternative");
    p->brackets--;
    vec_push(p->arena, &kids, parse_expr(p));
    return finish(p, node(p, AST_COND, at), &kids);
  }
  static const char *const words[] = {"true", "false", "none"};
  for (size_t i = 0; i < 3; i++)
    if (at->kind == TK_NAME && name_is(at->text, words[i])) {
      p->tok++;
      Ast *a = node(p, AST_NAME, at);
      a->name = at->text;
      return finish(p, a, NULL);
    }
  if (at->kind != TK_NAME) expected(p, "an expression");
  Ast *a = node(p, AST_NAME, at);
  a->name = expect_name(p, "an expression");
  return finish(p, a, NULL);
}

/* postfix := primary { args | "[" index {"," index} "]" | "." NAME } */
static Ast *parse_postfix(Parser *p) {
  Ast *a = parse_primary(p);
  for (int i = 0; !at_line_end(p); i++) {
    if (i > MAX_CHAIN) parse_error(p, p->tok, "this expression is too long");
    Token *at = p->tok;
    AstVec kids = {0};
    vec_push(p->arena, &kids, a);
    if (token_is(at, "(")) {
      parse_args(p, &kids);
      a = finish(p, node(p, AST_CALL, at), &kids);
    } else if (token_is(at, "[")) {
      open_bracket(p, "[", "");
      do vec_push(p->arena, &kids, parse_index(p));
      while (accept(p, ","));
      close_bracket(p, "]", "after the index");
      a = finish(p, node(p, AST_INDEX, at), &kids);
    } else if (accept(p, ".")) {
      Token *name = p->tok;
      if (name->kind != TK_NAME) expected(p, "a field's name after `.`");
      p->tok++;
      Ast *f = node1(p, AST_FIELD, name, a);
      f->name = name->text;
      a = f;
    } else {
      break;
    }
    /* calls and indices are reported where the thing called begins */
    if (a->kind != AST_FIELD) {
      a->line = kids.v[0]->line;
      a->col = kids.v[0]->col;
    }
    a->begin = kids.v[0]->begin;
  }
  return a;
}

static Ast *binary(Parser *p, Token *op, Ast *x, Ast *y) {
  Ast *a = node2(p, AST_BINARY, op, x, y);
  a->name = op->text;
  a->begin = x->begin;
  return a;
}

/* unary := ("-" | "not") unary | postfix ["^" unary] */
static Ast *parse_unary(Parser *p) {
  Token *at = p->tok;
  enter(p);
  Ast *a;
  if (accept(p, "-") || accept(p, "not")) {
    a = node1(p, AST_UNARY, at, parse_unary(p));
    a->name = at->text;
  } else {
    a = parse_postfix(p);
    Token *op = p->tok;
    if (!at_line_end(p) && accept(p, "^")) a = binary(p, op, a, parse_unary(p));
  }
  p->depth--;
  return a;
}

/* One level of left-associative binary operators. */
static Ast *parse_level(Parser *p, int level) {
  static const char *const ops[][7] = {
      {"or"}, {"and"}, {"==", "!=", "<", "<=", ">", ">="}, {".."}, {"+", "-"}, {"*", "/", "@"},
  };
  if (level == 6) return parse_unary(p);
  Ast *a = parse_level(p, level + 1);
  for (int chain = 0; !at_line_end(p); chain++) {
    Token *op = p->tok;
    bool found = false;
    for (int i = 0; ops[level][i]; i++) found = found || token_is(op, ops[level][i]);
    if (!found) break;
    if (chain > MAX_CHAIN) parse_error(p, op, "this expression is too long");
    p->tok++;
    /* an operator at the end of a line continues on the next */
    Ast *b = parse_level(p, level + 1);
    a = binary(p, op, a, b);
    if (level == 3) a->kind = AST_RANGE;
  }
  return a;
}

/* expr := or {"or" and ...}: or, and, comparison, "..", + -, * / @, unary, ^, postfix */
static Ast *parse_expr(Parser *p) {
  enter(p);
  Ast *a = parse_level(p, 0);
  p->depth--;
  return a;
}

/* ---- statements ---- */

/* state := ("param"|"buffer"|"slot") [NAME] [":" NAME] ["[" exprs "]"] "=" expr */
static Ast *parse_state(Parser *p, const char *name) {
  Token *at = p->tok;
  Ast *a = node(p, AST_DECL_STATE, at);
  a->word = (p->tok++)->text;
  a->name = name ? name : expect_name(p, "the name of the state");
  Ast *type = NULL;
  Token *t = p->tok;
  if (accept(p, ":")) {
    type = parse_type(p);
  } else if (token_is(t, "[")) {
    type = node(p, AST_TYPE, t);
    type->name = "f32";
    type->num = 1;
    AstVec dims = {0};
    open_bracket(p, "[", "");
    while (!token_is(p->tok, "]")) {
      vec_push(p->arena, &dims, parse_expr(p));
      if (!accept(p, ",")) break;
    }
    close_bracket(p, "]", "after the shape");
    finish(p, type, &dims);
  }
  expect(p, "=", "and an initial value");
  AstVec kids = {0};
  vec_push(p->arena, &kids, type);
  vec_push(p->arena, &kids, parse_expr(p));
  return finish(p, a, &kids);
}

static bool starts_state(const Token *t) {
  if (!token_is(t, "param") && !token_is(t, "buffer")) return false;
  return token_is(t + 1, "[") || token_is(t + 1, ":") || token_is(t + 1, "=");
}

/* assign := NAME {"," NAME} "=" (expr | state) */
static Ast *parse_assign(Parser *p) {
  Token *at = p->tok;
  AstVec kids = {0};
  vec_push(p->arena, &kids, NULL);
  do {
    Ast *target = node(p, AST_NAME, p->tok);
    target->name = expect_name(p, "a name");
    vec_push(p->arena, &kids, target);
  } while (accept(p, ","));
  expect(p, "=", "after the name");
  if (kids.n == 2 && starts_state(p->tok)) return parse_state(p, kids.v[1]->name);
  kids.v[0] = parse_expr(p);
  return finish(p, node(p, AST_ASSIGN, at), &kids);
}

/* named := NAME "=" expr {"," NAME "=" expr} */
static void parse_named(Parser *p, AstVec *kids) {
  do {
    Token *at = p->tok;
    const char *name = expect_name(p, "a name");
    expect(p, "=", "after the name");
    Ast *a = node1(p, AST_ARG, at, parse_expr(p));
    a->name = name;
    vec_push(p->arena, kids, a);
  } while (accept(p, ","));
}

/* return := "return" [NAME "="] expr {"," [NAME "="] expr} */
static Ast *parse_return(Parser *p) {
  Token *at = p->tok++;
  AstVec kids = {0};
  if (at_line_end(p)) expected(p, "a value to return");
  do {
    Ast *a = parse_arg(p);
    if (a->kind == AST_SPREAD) parse_error(p, at, "a result cannot be spread");
    if (!a->name && a->kid[0]->kind == AST_NAME) a->name = a->kid[0]->name;
    vec_push(p->arena, &kids, a);
  } while (accept(p, ","));
  return finish(p, node(p, AST_RETURN, at), &kids);
}

/* if := "if" expr block ["else" (if | block)] */
static Ast *parse_if(Parser *p) {
  Token *at = p->tok++;
  enter(p);
  AstVec kids = {0};
  vec_push(p->arena, &kids, parse_expr(p));
  vec_push(p->arena, &kids, parse_block(p));
  if (accept(p, "else")) vec_push(p->arena, &kids, token_is(p->tok, "if") ? parse_if(p) : parse_block(p));
  p->depth--;
  return finish(p, node(p, AST_IF, at), &kids);
}

/* repeat := ("repeat" | "scan") NAME "in" expr block */
static Ast *parse_repeat(Parser *p) {
  Token *at = p->tok++;
  const char *name = expect_name(p, "the name of the loop variable");
  expect(p, "in", "after the loop variable");
  Ast *over = parse_expr(p);
  Ast *a = node2(p, AST_REPEAT, at, over, parse_block(p));
  a->name = name;
  a->word = at->text;
  return a;
}

/* params := "(" [param {"," param}] ")";  param := ["*"] NAME [":" type] ["=" expr] */
static void parse_params(Parser *p, AstVec *kids) {
  open_bracket(p, "(", "before the parameters");
  while (!token_is(p->tok, ")")) {
    Token *at = p->tok;
    Ast *a = node2(p, AST_PARAM, at, NULL, NULL);
    a->num = accept(p, "*");
    a->line = p->tok->line, a->col = p->tok->col;
    a->name = expect_name(p, "a parameter's name");
    for (int i = 1; i < kids->n; i++)
      if (kids->v[i]->name == a->name)
        parse_error(p, p->tok - 1,
                    arena_printf(p->arena, "there is already a parameter named `%s`", a->name));
    if (accept(p, ":")) a->kid[0] = parse_type(p);
    if (accept(p, "=")) a->kid[1] = parse_expr(p);
    vec_push(p->arena, kids, finish(p, a, NULL));
    if (!accept(p, ",")) break;
  }
  close_bracket(p, ")", "or `,` after a parameter");
}

/* fn := ("fn"|"entry") NAME params ("=" expr | block) */
static Ast *parse_fn(Parser *p) {
  Token *at = p->tok++, *name = p->tok;
  Ast *a = node(p, AST_FUNC, name);
  a->word = at->text;
  a->name = expect_name(p, "a name");
  AstVec kids = {0};
  vec_push(p->arena, &kids, NULL);
  parse_params(p, &kids);
  Token *body = p->tok;
  if (accept(p, "=")) {
    Ast *value = node1(p, AST_ARG, body, parse_expr(p));
    kids.v[0] = node1(p, AST_BLOCK, body, node1(p, AST_RETURN, body, value));
  } else {
    kids.v[0] = parse_block(p);
  }
  return finish(p, a, &kids);
}

/* Statements introduced by a word. */
static Ast *parse_require(Parser *p) {
  Token *at = p->tok++;
  Ast *cond = parse_expr(p);
  expect(p, ",", "and a message after the condition");
  return node2(p, AST_REQUIRE, at, cond, parse_expr(p));
}

static Ast *parse_children(Parser *p) {
  Token *at = p->tok++;
  Ast *list = parse_expr(p);
  if (!token_is(p->tok, ",") || p->tok[1].kind != TK_STR) return node1(p, AST_CHILDREN, at, list);
  p->tok++;
  return node2(p, AST_CHILDREN, at, list, parse_expr(p));
}

static Ast *parse_minimize(Parser *p) {
  Token *at = p->tok++;
  return node1(p, AST_MINIMIZE, at, parse_expr(p));
}

static Ast *parse_named_value(Parser *p, AstKind kind, const char *what) {
  Token *at = p->tok++;
  const char *name = expect_name(p, what);
  expect(p, "=", "after the name");
  Ast *a = node1(p, kind, at, parse_expr(p));
  a->name = name;
  return a;
}

static Ast *parse_collect(Parser *p) {
  return parse_named_value(p, AST_COLLECT, "the variable that gets the values of all steps");
}
static Ast *parse_update(Parser *p) { return parse_named_value(p, AST_UPDATE, "the buffer to update"); }
static Ast *parse_metric(Parser *p) { return parse_named_value(p, AST_METRIC, "the metric's name"); }

static Ast *parse_bind(Parser *p) {
  Token *at = p->tok++;
  AstVec kids = {0};
  parse_named(p, &kids);
  return finish(p, node(p, AST_BIND, at), &kids);
}

/* each := "each" NAME "," NAME block */
static Ast *parse_each(Parser *p) {
  Token *at = p->tok++;
  const char *param = expect_name(p, "a name for the parameter");
  expect(p, ",", "after the parameter's name");
  const char *grad = expect_name(p, "a name for the gradient");
  Ast *a = node1(p, AST_EACH, at, parse_block(p));
  a->word = param;
  a->name = grad;
  return a;
}

/* names := NAME {"," NAME} */
static void parse_names(Parser *p, AstVec *kids, const char *what) {
  do {
    Ast *a = node(p, AST_NAME, p->tok);
    a->name = expect_name(p, what);
    vec_push(p->arena, kids, finish(p, a, NULL));
  } while (accept(p, ","));
}

/* ignored := "ignored" names "if" expr */
static Ast *parse_ignored(Parser *p) {
  Token *at = p->tok++;
  AstVec kids = {0};
  vec_push(p->arena, &kids, NULL);
  parse_names(p, &kids, "the name of a setting");
  expect(p, "if", "and when these settings have no effect");
  kids.v[0] = parse_expr(p);
  return finish(p, node(p, AST_IGNORED, at), &kids);
}

/* field := "field" NAME ":" type ["from" names] */
static Ast *parse_field(Parser *p) {
  Token *at = p->tok++;
  const char *name = expect_name(p, "the field's name");
  expect(p, ":", "and a type after the field's name");
  AstVec kids = {0};
  vec_push(p->arena, &kids, parse_type(p));
  if (!p->tok->nl && accept(p, "from")) parse_names(p, &kids, "the name of a setting");
  Ast *a = finish(p, node(p, AST_DECL_FIELD, at), &kids);
  a->name = name;
  return a;
}

/* section := ("probe" | "objective") NAME block */
static Ast *parse_section(Parser *p, AstKind kind, const char *what) {
  Token *at = p->tok++;
  const char *name = expect_name(p, what);
  Ast *a = node1(p, kind, at, parse_block(p));
  a->name = name;
  a->word = at->text;
  return a;
}

static Ast *parse_probe(Parser *p) { return parse_section(p, AST_PROBE, "the probe's name"); }
static Ast *parse_objective(Parser *p) { return parse_section(p, AST_OBJECTIVE, "the objective's name"); }

/* monitor := "monitor" ["after" expr] "{" {NAME "=" expr "in" expr} "}" */
static Ast *parse_monitor(Parser *p) {
  Token *at = p->tok++;
  AstVec kids = {0};
  vec_push(p->arena, &kids, accept(p, "after") ? parse_expr(p) : NULL);
  expect(p, "{", "before the monitored values");
  while (!token_is(p->tok, "}")) {
    Token *row = p->tok;
    const char *name = expect_name(p, "a name for the monitored value");
    expect(p, "=", "after the name");
    Ast *value = parse_expr(p);
    expect(p, "in", "and the bounds, such as `in 0.2..0.8`");
    Ast *bound = node2(p, AST_BOUND, row, value, parse_expr(p));
    bound->name = name;
    vec_push(p->arena, &kids, bound);
    if (!accept(p, ",") && !accept(p, ";") && !p->tok->nl && !token_is(p->tok, "}"))
      expected(p, "the end of the statement");
  }
  p->tok++;
  return finish(p, node(p, AST_MONITOR, at), &kids);
}

static Ast *parse_plain_state(Parser *p) { return parse_state(p, NULL); }

/* statement := assign | state | return | if | repeat | fn | ... : the word at its start decides, unless "="
   or "," follows */
static Ast *parse_statement(Parser *p) {
  static const struct {
    const char *word;
    Ast *(*parse)(Parser *);
  } rules[] = {
      {"return", parse_return},
      {"if", parse_if},
      {"repeat", parse_repeat},
      {"scan", parse_repeat},
      {"collect", parse_collect},
      {"fn", parse_fn},
      {"entry", parse_fn},
      {"param", parse_plain_state},
      {"buffer", parse_plain_state},
      {"slot", parse_plain_state},
      {"update", parse_update},
      {"require", parse_require},
      {"children", parse_children},
      {"minimize", parse_minimize},
      {"metric", parse_metric},
      {"bind", parse_bind},
      {"each", parse_each},
      {"field", parse_field},
      {"ignored", parse_ignored},
      {"probe", parse_probe},
      {"objective", parse_objective},
      {"monitor", parse_monitor},
  };
  if (p->tok->kind != TK_NAME) expected(p, "a statement");
  if (!token_is(p->tok + 1, "=") && !token_is(p->tok + 1, ",")) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
      if (token_is(p->tok, rules[i].word)) return rules[i].parse(p);
    if (!is_reserved(p->tok->text)) {
      p->tok++;
      expected(p, arena_printf(p->arena, "`=` after `%s`", p->tok[-1].text));
    }
  }
  return parse_assign(p);
}

/* To the line after the statement that begins at start and has an error at or before the next token: not inside the
   blocks it opens, and inside its brackets only while lines are indented more than it is. */
static void skip_statement(Parser *p, const Token *start) {
  const Token *wrong = p->tok;
  int braces = 0, brackets = 0;
  for (p->tok = (Token *)start; p->tok->kind != TK_END; p->tok++) {
    bool line = p->tok->nl && p->tok > start && p->tok >= wrong;
    if (token_is(p->tok, "}") && !braces) return;
    if (line && !braces && (brackets <= 0 || p->tok->col <= start->col)) return;
    braces += token_is(p->tok, "{") - token_is(p->tok, "}");
    brackets += token_is(p->tok, "(") + token_is(p->tok, "[") - token_is(p->tok, ")") - token_is(p->tok, "]");
  }
}

/* A statement, or NULL after an error in it: the parser then goes on with the next one. */
static Ast *try_statement(Parser *p) {
  enum { ENOUGH = 20 };
  const Token *start = p->tok;
  const int depth = p->depth;
  OpenBlock *block = p->block;
  jmp_buf env, **trap = diags_trap(p->diags), *saved = *trap;
  *trap = &env;
  if (!setjmp(env)) {
    Ast *a = parse_statement(p);
    if (!accept(p, ",") && !accept(p, ";") && !p->tok->nl && !token_is(p->tok, "}") && p->tok->kind != TK_END)
      expected(p, "the end of the statement");
    *trap = saved;
    return a;
  }
  *trap = saved;
  p->failed = true;
  if (p->lost || p->tok->kind == TK_END || diags_errors(p->diags) >= ENOUGH) diag_throw(p->diags);
  p->depth = depth;
  p->block = block;
  p->brackets = 0;
  skip_statement(p, start);
  return NULL;
}

/* block := "{" {statement (line break | "," | ";")} "}" */
/* Where the line of a token begins. */
static int line_column(const Parser *p, const Token *t) {
  int i = t->begin;
  while (i && p->src->text[i - 1] != '\n') i--;
  return 1 + (int)strspn(p->src->text + i, " \t");
}

/* What stands at a file's top level only: model NAME ( or {, train NAME {. */
static bool begins_declaration(const Parser *p) {
  static const char *const words[] = {"model", "train", "source", "optimizer"};
  const Token *t = p->tok;
  for (int i = 0; i < 4; i++)
    if (t->nl && token_is(t, words[i]) && t[1].kind == TK_NAME && !t[1].nl &&
        (token_is(t + 2, "(") || token_is(t + 2, "{")))
      return true;
  return false;
}

/* At the block that seems to lack it: the innermost with a statement that is not further right. */
static _Noreturn void missing_brace(Parser *p) {
  const OpenBlock *b = p->block;
  while (b && !b->outside) b = b->up;
  const Token *brace = p->lacks ? p->lacks
                       : b      ? b->brace
                                : NULL,
              *outside = p->lacks ? p->lacks_before
                         : b      ? b->outside
                                  : NULL;
  const Token *found = p->tok;
  p->lost = true;
  diag_error(p->diags, token_loc(p, found), "expected `}`, found %s", token_text(p, found));
  if (brace) {
    diag_note(p->diags, token_loc(p, brace), "this block lacks its `}`");
    if (outside != found) diag_note(p->diags, token_loc(p, outside), "it seems to end before this line");
  } else diag_note(p->diags, token_loc(p, p->block->brace), "the block begins here");
  diag_throw(p->diags);
}

static Ast **function_slot(const Ast *block, const char *name) {
  size_t i = ((uintptr_t)name >> 4) * 0x9e3779b97f4a7c15u & (size_t)(block->nfn - 1);
  while (block->fn[i] && block->fn[i]->name != name) i = (i + 1) & (size_t)(block->nfn - 1);
  return &block->fn[i];
}

const Ast *ast_function(const Ast *block, const char *name) {
  return block->fn ? *function_slot(block, name) : NULL;
}

/* The first of a name counts. */
static void index_functions(Parser *p, Ast *block) {
  int n = 0;
  for (int i = 0; i < block->nkid; i++) n += block->kid[i]->kind == AST_FUNC;
  if (!n) return;
  for (block->nfn = 4; block->nfn < 2 * n;) block->nfn *= 2;
  block->fn = NEWN(p->arena, Ast *, block->nfn);
  for (int i = 0; i < block->nkid; i++) {
    if (block->kid[i]->kind != AST_FUNC) continue;
    Ast **slot = function_slot(block, block->kid[i]->name);
    if (!*slot) *slot = block->kid[i];
  }
}

static Ast *parse_block(Parser *p) {
  enum { MOST = 100000 };
  Token *at = p->tok;
  int brackets = p->brackets;
  enter(p);
  expect(p, "{", "before the block");
  p->brackets = 0;
  AstVec kids = {0};
  OpenBlock own = {.brace = at, .column = line_column(p, at), .up = p->block};
  p->block = &own;
  while (!token_is(p->tok, "}")) {
    if (p->tok->kind == TK_END) missing_brace(p);
    if (p->tok->nl && !own.outside && p->tok->col <= own.column) own.outside = p->tok;
    if (own.outside && begins_declaration(p)) missing_brace(p);
    Ast *statement = try_statement(p);
    if (statement) vec_push(p->arena, &kids, statement);
    if (kids.n > MOST) parse_error(p, p->tok, "this block is too long");
  }
  p->tok++;
  if (own.outside && !p->lacks) p->lacks = own.brace, p->lacks_before = own.outside;
  p->block = own.up;
  p->brackets = brackets;
  p->depth--;
  Ast *block = finish(p, node(p, AST_BLOCK, at), &kids);
  index_functions(p, block);
  return block;
}

/* ---- declarations ---- */

/* use := "use" STR */
static Ast *parse_use(Parser *p) {
  p->tok++;
  if (p->tok->kind != TK_STR) expected(p, "the file to use, in quotes");
  Ast *a = node(p, AST_USE, p->tok);
  a->name = (p->tok++)->text;
  return finish(p, a, NULL);
}

/* dim := "dim" NAME ["=" expr] {"," NAME ["=" expr]} */
static void parse_dim(Parser *p, AstVec *kids) {
  p->tok++;
  do {
    Token *at = p->tok;
    const char *name = expect_name(p, "the dimension's name");
    Ast *a = node1(p, AST_DIM, at, accept(p, "=") ? parse_expr(p) : NULL);
    a->name = name;
    vec_push(p->arena, kids, a);
  } while (accept(p, ","));
}

/* model := ("model"|"source"|"optimizer") NAME [params] block */
static Ast *parse_model(Parser *p) {
  Token *word = p->tok++;
  Ast *a = node(p, AST_MODEL, p->tok);
  a->word = word->text;
  a->name = expect_name(p, "a name");
  AstVec kids = {0};
  vec_push(p->arena, &kids, NULL);
  if (token_is(p->tok, "(")) parse_params(p, &kids);
  kids.v[0] = parse_block(p);
  return finish(p, a, &kids);
}

/* train := "train" NAME [args] block */
static Ast *parse_train(Parser *p) {
  p->tok++;
  Ast *a = node(p, AST_TRAIN, p->tok);
  a->name = expect_name(p, "the name of the model to train");
  AstVec kids = {0};
  vec_push(p->arena, &kids, NULL);
  if (token_is(p->tok, "(")) parse_args(p, &kids);
  kids.v[0] = parse_block(p);
  return finish(p, a, &kids);
}

/* file := {use | dim | fn | model | train} */
static Ast *file(Parser *p) {
  AstVec kids = {0};
  Ast *a = node(p, AST_FILE, p->tok);
  while (p->tok->kind != TK_END) {
    if (!p->tok->nl) expected(p, "the end of the line");
    if (token_is(p->tok, "use")) vec_push(p->arena, &kids, parse_use(p));
    else if (token_is(p->tok, "dim")) parse_dim(p, &kids);
    else if (token_is(p->tok, "fn")) vec_push(p->arena, &kids, parse_fn(p));
    else if (token_is(p->tok, "model") || token_is(p->tok, "source") || token_is(p->tok, "optimizer"))
      vec_push(p->arena, &kids, parse_model(p));
    else if (token_is(p->tok, "train")) vec_push(p->arena, &kids, parse_train(p));
    else if (token_is(p->tok, "entry")) parse_error(p, p->tok, "an entry belongs in the body of a `model`");
    else expected(p, "`use`, `dim`, `fn`, `model`, `source`, `optimizer` or `train`");
  }
  a->kid = kids.v;
  a->nkid = kids.n;
  return a;
}

Ast *parse_file(Arena *arena, Diags *d, Intern *names, const Source *src) {
  Parser p = {arena, d, names, src, lex(arena, d, names, src), .brackets = 0};
  Ast *a = file(&p);
  if (p.failed) diag_throw(d);
  return a;
}

Ast *parse_expression(Arena *arena, Diags *d, Intern *names, const Source *src) {
  Parser p = {arena, d, names, src, lex(arena, d, names, src), .brackets = 1};
  Ast *a = parse_expr(&p);
  if (p.tok->kind != TK_END) expected(&p, "the end of the value");
  return a;
}
