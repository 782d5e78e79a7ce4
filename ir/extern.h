/* Calls of functions from the user's shared libraries. An extern node is
       void symbol(const T0 *operand0, ..., R *result, int64_t extent0, ...)
   with row-major arrays and the extents of the result. Libraries stay loaded. */
#ifndef JEPAC_IR_EXTERN_H
#define JEPAC_IR_EXTERN_H

#include "ir/type.h"

typedef struct Extern {
  const char *library, *symbol; /* as dlopen and dlsym take them */
  const char *vjp; /* "sym0,-,sym2": for each operand the symbol of its derivative, "-" none; NULL: not
                      differentiable. A derivative is called with the operands, the result and its gradient,
                      and writes the operand's. */
} Extern;

typedef void (*ExternFn)(void);
/* NULL with a sentence in err when there is no such library or symbol. */
ExternFn extern_resolve(const char *library, const char *symbol, char *err, size_t errlen);
/* C cannot tell what a function takes, but its library may, in a text SYMBOL_types: "f32[2], i64 -> f32[2]",
   element types with the rank where it matters. n types of a call, the result last; false with a sentence in
   err where they do not agree. */
bool extern_agrees(const char *library, const char *symbol, const DType *dt, const int *rank, int n,
                   char *err, size_t errlen);
/* ptr: operands, then the result; extent: of the result. */
void extern_call(ExternFn fn, void *const *ptr, int nptr, const Shape *result);
/* The same on f64 copies, for interpreters: ends the process with status 3 when the function is missing. */
void extern_eval(const Extern *e, int nin, const DType *dt, const int64_t *count, const double *const *in,
                 DType rdt, const Shape *rshape, double *out);
/* Symbol i of a vjp list into buf; NULL for "-" or none. */
const char *extern_vjp(const char *list, int i, char *buf, size_t n);
int extern_vjp_count(const char *list);

#endif
