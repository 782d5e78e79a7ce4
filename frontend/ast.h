/* Syntax tree of model files, and the lexer's and parser's interface. The grammar stands above each function
   of parse.c. */
#ifndef JEPAC_FRONTEND_AST_H
#define JEPAC_FRONTEND_AST_H

#include "ir/base.h"
#include "ir/type.h"

#include <string.h>

typedef enum { TK_END, TK_NAME, TK_NUM, TK_STR, TK_PUNCT } TokenKind;

typedef struct {
  TokenKind kind;
  bool nl;          /* a line break stands before it */
  const char *text; /* interned: names, punctuation; contents of strings */
  Imm num;
  int begin, end; /* byte offsets */
  int line, col;
} Token;

typedef enum {
  /* expressions */
  AST_NUM,      /* num; name = unit ("epochs", "steps", "%") or NULL */
  AST_STR,      /* name */
  AST_NAME,     /* name */
  AST_LIST,     /* kid... */
  AST_COMP,     /* [kid0 for name in kid1 if kid2] */
  AST_CALL,     /* kid0(kid1...), arguments are AST_ARG */
  AST_ARG,      /* name (or NULL) = kid0 */
  AST_SPREAD,   /* *kid0 */
  AST_INDEX,    /* kid0[kid1, ...] */
  AST_SLICE,    /* kid0 : kid1 : kid2, each may be NULL */
  AST_FIELD,    /* kid0.name */
  AST_UNARY,    /* name kid0 */
  AST_BINARY,   /* kid0 name kid1 */
  AST_RANGE,    /* kid0 .. kid1 */
  AST_COND,     /* if kid0 then kid1 else kid2 */
  AST_TYPE,     /* name[kid...]; num = 1 when brackets stand there */
  AST_ELLIPSIS, /* ... in a type or an index */
  /* statements */
  AST_BLOCK,
  AST_ASSIGN,     /* kid0 = value; kid1... = AST_NAME targets */
  AST_DECL_STATE, /* name; word = param|buffer|slot; kid0 = AST_TYPE or NULL, kid1 = initial value */
  AST_UPDATE,     /* name = kid0 */
  AST_RETURN,     /* kid... = AST_ARG */
  AST_IF,         /* kid0 block kid1 [block kid2] */
  AST_REPEAT,     /* name in kid0, block kid1; word = repeat|scan */
  AST_COLLECT,    /* name = kid0 */
  AST_REQUIRE,    /* kid0, kid1 message */
  AST_IGNORED,    /* settings kid1... have no effect where kid0 holds */
  AST_CHILDREN,   /* kid0; kid1 what names begin with, if any */
  AST_EACH,       /* kid0 block; word = parameter's name, name = gradient's name */
  AST_DECL_FIELD, /* name: kid0; kid1... = settings that serve it alone */
  AST_METRIC,     /* name = kid0 */
  AST_BIND,       /* kid... = AST_ARG */
  AST_MINIMIZE,   /* kid0 */
  AST_PROBE,      /* name, kid0 = block */
  AST_OBJECTIVE,  /* name, kid0 = block */
  AST_MONITOR,    /* kid0 = first step checked or NULL; kid1... = AST_BOUND */
  AST_BOUND,      /* name = kid0 in kid1 */
  /* declarations */
  AST_FILE,
  AST_USE,   /* name = path */
  AST_DIM,   /* name, kid0 = value or NULL */
  AST_FUNC,  /* name; word = fn|entry; kid0 = AST_BLOCK, kid1... = AST_PARAM */
  AST_MODEL, /* name; word = model|source|optimizer; kid0 = AST_BLOCK, kid1... = AST_PARAM */
  AST_PARAM, /* name; kid0 = type or NULL, kid1 = default or NULL; num = 1: takes the rest (*name) */
  AST_TRAIN, /* name = model; kid0 = AST_BLOCK, kid1... = AST_ARG */
} AstKind;

typedef struct Ast {
  AstKind kind;
  int line, col;
  int begin, end; /* byte offsets in src */
  const Source *src;
  const char *name, *word;
  Imm num;
  int nkid;
  struct Ast **kid;
  struct Ast **fn; /* AST_BLOCK: its functions by name, a hash table of nfn slots; NULL: it has none */
  int nfn;
} Ast;

/* The function of that name declared in a block, or NULL. */
const Ast *ast_function(const Ast *block, const char *name);

/* Interned strings: names of the text with equal text are equal pointers. */
typedef struct Intern Intern;
Intern *intern_new(Arena *a,
                   const Intern *base); /* has the strings of base (or NULL), which stays as it is */
const char *intern(Intern *t, const char *s, size_t n);
/* Does a name (NULL: none) say text? Of two names of the text == tells the same. */
static inline bool name_is(const char *name, const char *text) { return name && !strcmp(name, text); }

enum { MODEL_BYTES = 4 << 20 }; /* a model file has less */
/* Tokens of a whole source, ended by TK_END. Reports and throws on a bad character, string or number. */
Token *lex(Arena *a, Diags *d, Intern *names, const Source *src);

/* AST_FILE of a source; reports and throws (diag_throw). */
Ast *parse_file(Arena *a, Diags *d, Intern *names, const Source *src);
/* One expression making up the whole source (for --set). */
Ast *parse_expression(Arena *a, Diags *d, Intern *names, const Source *src);

#endif
