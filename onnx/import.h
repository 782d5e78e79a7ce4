/* What the files of the importer share. An ONNX graph becomes a list of statements whose texts refer to values by
   number (OX_REF); the last step gives these the names they have where they are read.

     model.c    file -> protobuf, in an order that can be computed
     tensor.c   element types and tensors
     known.c    values known when compiling: numbers and lists
     rows.c     the table: how an operator is written in the language
     special.c  operators that a text with holes cannot say
     idioms.c   nodes that together are one operator
     emit.c     nodes -> statements
     layers.c   nodes that are layers of the library; names of states
     modules.c  statements and states -> a tree of modules
     text.c     that tree as text
     write.c    its check, the files */
#ifndef JEPAC_ONNX_IMPORT_H
#define JEPAC_ONNX_IMPORT_H

#include "onnx.pb-c.h"
#include "onnx/onnx.h"

typedef Onnx__NodeProto NodeProto;
typedef Onnx__AttributeProto AttributeProto;
typedef Onnx__TensorProto TensorProto;
typedef Onnx__GraphProto GraphProto;

/* A number known when compiling, or the text that gives it (`shape(x)[0]`). */
typedef struct {
  double num;
  const char *text; /* NULL: it is num */
} OxItem;

typedef struct {
  int rank;         /* 0 or 1 */
  int n;            /* items; -1: not known how many */
  OxItem *item;     /* n of them */
  const char *text; /* with n = -1: the list */
} OxKnown;

typedef enum { OX_UNSET, OX_INPUT, OX_CONST, OX_RESULT, OX_STATE } OxKind;

typedef struct {
  const char *name; /* in the file */
  OxKind kind;
  int elem; /* element type as ONNX numbers it; 0: not known */
  int rank; /* -1: not known */
  int told; /* the file's own word for the rank of a result, and 1; 0: none */
  const int64_t *dim; /* OX_INPUT, OX_CONST: extents; NULL: not known */
  const TensorProto *tensor; /* OX_CONST */
  const OxKnown *known;      /* beside the tensor, or instead of it; NULL: not known when compiling */
  bool sequence;             /* a list of tensors */
  bool read;                 /* some text refers to it */
  const char *state;         /* dotted name, when it is one */
  struct OxModule *home;     /* that has the state */
  bool turned;               /* the state has the constant's axes turned around */
  bool trained;
  int made_by;               /* node; -1 */
  const char *local;         /* its name in the function being written */
} OxValue;

/* A statement: the results of one node. A known value has none. */
typedef struct {
  int node;         /* for messages and scopes; -1 */
  const char *text; /* right side, with references */
  int *out;         /* value of each name on the left; -1: nobody reads it */
  int nout;
  const char *module; /* dotted path of the layer it applies, or NULL; text is then the arguments */
  const char *made;   /* how the layer is made: "Linear(4, 3)" */
  bool live;
} OxStatement;

typedef struct {
  const NodeProto *proto;
  int *in, nin;   /* values; -1: absent */
  int *out, nout; /* values; -1: absent */
  const char *scope;  /* dotted path of its module, "" for the model */
  const char *class_; /* what the exporter calls that module's class, or NULL */
  const char *label;  /* what messages and comments call it */
} OxNode;

/* A node that is a layer of the library: its constants are states of one module. */
typedef struct {
  int statement, node;
  const char *model;     /* "Linear" */
  int value[5], nvalue;  /* -1: absent */
  const char *const *part; /* what the module calls them: "weight", "bias" */
  const char *path;      /* of the module, set with the states' names */
} OxLayer;

typedef struct OxNames OxNames; /* names to numbers */

typedef struct {
  Arena *a;
  Compiler *c;
  Diags *d;
  const OnnxImport *what;
  const Onnx__ModelProto *model;
  const char *folder; /* of the model file */
  int64_t opset;
  OxNames *names;
  VEC(OxValue) value;
  VEC(OxNode) node;
  VEC(OxStatement) statement;
  VEC(int) input, output; /* values */
  VEC(const char *) dim;  /* names of extents */
  VEC(OxLayer) layer;
  int *uses;              /* of each value by nodes and outputs; those made later are past its end */
  int nuses;
  const struct StFile *known;
  bool from_inputs; /* what --inputs gives counts as known */
  int problems;
  int depth; /* of functions and graphs in graphs */
} Import;

/* How jepac export calls the nodes that keep rows inside a table. */
#define OX_ROWS "Rows_"

/* ---- idioms.c ---- */
const OxNode *ox_maker(Import *im, const OxNode *n, int i, const char *op);
const OxNode *ox_rows(Import *im, const OxNode *n);
const char *ox_deviations(Import *im, const OxNode *n, const char **x);
const char *ox_turned_product(Import *im, const OxNode *n);
bool ox_is_mask(Import *im, const OxValue *v);
/* An equal mask that was read before; -1: none. */
int ox_same_mask(Import *im, const OxValue *v);

/* A reference inside a text. */
#define OX_REF "\001%d\002"

/* ---- names.c ---- */
OxNames *ox_names_new(Arena *a);
int ox_names_find(const OxNames *t, const char *name); /* -1: not there */
void ox_names_set(OxNames *t, const char *name, int number);
/* What remains of a name as a name of the language: letters, digits and _; never a word of the language. */
const char *ox_identifier(Arena *a, const char *name);

/* ---- model.c ---- */
Status ox_read(Import *im);
const AttributeProto *ox_attribute(const NodeProto *n, const char *name);
/* The value of that name, made when it is new. */
int ox_value(Import *im, const char *name);
int ox_new_value(Import *im, const char *name);
void ox_problem(Import *im, const OxNode *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Appends a node to im->node. */
void ox_add_node(Import *im, const NodeProto *p, const char *prefix, const char *scope);
/* Nodes of a graph inside a node, each of its names made its own by a prefix. */
bool ox_graph_nodes(Import *im, const GraphProto *g, const char *what);

/* ---- tensor.c ---- */
typedef struct {
  const char *name;  /* of ONNX */
  DType dt;          /* what holds it; DT_NONE: nothing does */
  int bits;          /* of an element in a file */
  int wrap;          /* integers narrower than dt: bits, negative when signed */
  int exponent, mantissa; /* narrow floats */
  int bias;
  bool finite; /* no infinities: the largest exponent is of numbers (and a NaN of all ones) */
  bool uz;     /* no negative zero, whose bits are the NaN */
} OxElem;
const OxElem *ox_elem(int type); /* never NULL */
/* Extents and bytes of a tensor; false after a problem that blames `name`. */
bool ox_tensor_check(Import *im, const TensorProto *t, const char *name, int64_t *count);
/* Elements as the safetensors file has them. NULL after a problem. */
const void *ox_tensor_data(Import *im, const TensorProto *t, const char *name, DType *dt);
/* Elements as numbers; n of them are wanted. false after a problem. */
bool ox_tensor_numbers(Import *im, const TensorProto *t, const char *name, double *out, int64_t n);

/* ---- known.c ---- */
const char *ox_number(Arena *a, double x);
/* The value as known when compiling: a constant of one axis at most, a result of such. NULL when it is not. */
const OxKnown *ox_known(Import *im, int value);
/* `[1, 2]`, `3`, `shape(x)`. */
const char *ox_known_text(Import *im, const OxKnown *k);
/* The same, and with the values of --inputs where that is what makes it known. */
const OxKnown *ox_known_by_inputs(Import *im, int value);
/* Tries to compute a node on what is known; true when it did, and its result is known. */
bool ox_fold(Import *im, const OxNode *n);

/* ---- rows.c ---- */
typedef const char *OxSpecial(Import *im, const OxNode *n); /* the right side; NULL after a problem */
typedef struct {
  const char *op;
  int since;            /* opset */
  const char *text;     /* see emit.c; NULL: special */
  const char *integers; /* instead, where operand 0 has integers; NULL: text */
  const char *type;     /* of each result: a digit: as that operand, b: bool, l: i64, f: f32, i: i32, t: attribute */
  OxSpecial *special;
  const char *domain; /* NULL: ONNX's own */
} OxRow;
const OxRow *ox_row(const char *domain, const char *op, int64_t opset, int64_t *first);
const OxRow *ox_row_at(int i); /* NULL after the last */

/* ---- emit.c ---- */
void ox_emit(Import *im);
/* Operand i: a number or a tensor; a tensor; a number, list or `none`. NULL after a problem. */
const char *ox_any(Import *im, const OxNode *n, int i);
const char *ox_tensor(Import *im, const OxNode *n, int i);
const char *ox_list(Import *im, const OxNode *n, int i);
bool ox_has(const OxNode *n, int i);
const char *ox_fill(Import *im, const OxNode *n, const char *text);
int ox_rank(Import *im, const OxNode *n, int i);
int64_t ox_int(const OxNode *n, const char *attribute, int64_t absent);
const char *ox_ref(Import *im, int value);
void ox_push(Import *im, OxStatement s);
/* Statements of another node's kind, for graphs inside. */
void ox_emit_nodes(Import *im, int from, int to);
void ox_wants_state(Import *im, int value);
const char *ox_join(Import *im, const char *const *text, int n);

/* ---- layers.c ---- */
/* The node as the application of a layer of the library; false when it is none. */
bool ox_layer(Import *im, const OxNode *n, OxStatement *s);
/* Chooses names for states. */
void ox_name_states(Import *im);

/* ---- modules.c ---- */
typedef struct OxModule {
  const char *path, *name; /* name: the last part of path */
  struct OxModule *parent;
  VEC(struct OxModule *) kid;
  VEC(int) state;       /* values */
  const char *made;     /* a layer of the library */
  const char *class_;
  int first, last, count; /* statements below it */
  bool whole;           /* they stand together: the module has a function of its own */
  bool list;            /* its kids are numbered */
  VEC(int) in, out;     /* of its function */
  const char *model;    /* name of its declaration */
} OxModule;
OxModule *ox_modules(Import *im, OxModule ***of); /* of: the innermost module of each statement */
bool ox_is_below(const OxModule *m, const OxModule *top);
/* The next reference of a text at or after p, as a value; -1: none. *p then is behind it. */
int ox_next_ref(const char **p);

/* ---- text.c ---- */
/* line: node of each line of the text, -1 for others. */
void ox_text(Import *im, StrBuf *b, int **line, int *lines);

/* ---- write.c ---- */
Status ox_write(Import *im);

#endif
