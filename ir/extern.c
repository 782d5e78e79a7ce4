/* User functions through libffi (extern.h): the argument list is put together at run time. */
#include "ir/extern.h"

#include <dlfcn.h>
#include <ffi.h>
#include <stdlib.h>
#include <string.h>

ExternFn extern_resolve(const char *library, const char *symbol, char *err, size_t errlen) {
  void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!lib) {
    const char *why = dlerror();
    snprintf(err, errlen, "cannot load the library: %s", why ? why : library);
    return NULL;
  }
  void *p = dlsym(lib, symbol);
  ExternFn fn = NULL;
  if (p) memcpy(&fn, &p, sizeof fn); /* ISO C has no cast from object to function pointer */
  else snprintf(err, errlen, "library %s has no function '%s'", library, symbol);
  return fn;
}

/* "f32[2]" or "f32" for a type of rank 2; the rest of the text, or NULL. */
static const char *match_type(const char *s, DType dt, int rank) {
  size_t n = strlen(dtype_name(dt));
  if (strncmp(s, dtype_name(dt), n)) return NULL;
  s += n;
  if (*s != '[') return s;
  char *end;
  long r = strtol(s + 1, &end, 10);
  return r == rank && *end == ']' ? end + 1 : NULL;
}

static bool matches(const char *s, const DType *dt, const int *rank, int n) {
  for (int i = 0; i < n && s; i++) {
    s = match_type(s + strspn(s, " "), dt[i], rank[i]);
    if (s) s += strspn(s, " ");
    const char *between = i + 2 < n ? "," : i + 1 < n ? "->" : "";
    if (s) s = strncmp(s, between, strlen(between)) ? NULL : s + strlen(between);
  }
  return s && !*s;
}

bool extern_agrees(const char *library, const char *symbol, const DType *dt, const int *rank, int n,
                   char *err, size_t errlen) {
  char name[256];
  snprintf(name, sizeof name, "%s_types", symbol);
  void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  const char *text = lib ? dlsym(lib, name) : NULL;
  if (!text || matches(text, dt, rank, n)) return true;
  StrBuf b = {0};
  for (int i = 0; i < n; i++)
    sb_printf(&b, "%s%s[%d]", i == 0 ? "" : i + 1 < n ? ", " : " -> ", dtype_name(dt[i]), rank[i]);
  snprintf(err, errlen, "'%s' of %s is %s, but it would be called as %s", symbol, library, text, b.s);
  sb_free(&b);
  return false;
}

enum { MAX_POINTERS = 64 };

void extern_call(ExternFn fn, void *const *ptr, int nptr, const Shape *result) {
  ffi_type *type[MAX_POINTERS + MAX_RANK];
  void *arg[MAX_POINTERS + MAX_RANK];
  void *value[MAX_POINTERS];
  int64_t extent[MAX_RANK];
  ffi_cif cif;
  int n = nptr + result->rank;
  if (nptr > MAX_POINTERS) bug("an extern with %d operands", nptr - 1);
  for (int i = 0; i < nptr; i++) {
    value[i] = ptr[i];
    type[i] = &ffi_type_pointer;
    arg[i] = &value[i];
  }
  for (int i = 0; i < result->rank; i++) {
    extent[i] = result->dim[i];
    type[nptr + i] = &ffi_type_sint64;
    arg[nptr + i] = &extent[i];
  }
  if (ffi_prep_cif(&cif, FFI_DEFAULT_ABI, (unsigned)n, &ffi_type_void, type) != FFI_OK)
    bug("libffi refuses a call with %d arguments", n);
  ffi_call(&cif, fn, NULL, arg);
}

static void to_memory(DType dt, void *p, const double *v, int64_t n) {
  for (int64_t i = 0; i < n; i++) element_put(dt, p, i, v[i]);
}

static void from_memory(DType dt, double *v, const void *p, int64_t n) {
  for (int64_t i = 0; i < n; i++) v[i] = element_cell(dt, p, i);
}

void extern_eval(const Extern *e, int nin, const DType *dt, const int64_t *count, const double *const *in,
                 DType rdt, const Shape *rshape, double *out) {
  char err[512];
  ExternFn fn = extern_resolve(e->library, e->symbol, err, sizeof err);
  if (!fn) {
    fprintf(stderr, "jepac: error: %s\n", err);
    exit(ST_FILE);
  }
  Arena *a = arena_new();
  void **ptr = NEWN(a, void *, nin + 1);
  for (int i = 0; i < nin; i++) {
    ptr[i] = arena_alloc(a, (size_t)(count[i] * dtype_size(dt[i])) + 1);
    to_memory(dt[i], ptr[i], in[i], count[i]);
  }
  int64_t n = shape_count(rshape);
  ptr[nin] = arena_alloc(a, (size_t)(n * dtype_size(rdt)) + 1);
  extern_call(fn, ptr, nin + 1, rshape);
  from_memory(rdt, out, ptr[nin], n);
  arena_free(a);
}

int extern_vjp_count(const char *list) {
  int n = list ? 1 : 0;
  for (const char *p = list; p && *p; p++) n += *p == ',';
  return n;
}

const char *extern_vjp(const char *list, int i, char *buf, size_t n) {
  for (; list && i > 0; i--) {
    list = strchr(list, ',');
    if (list) list++;
  }
  if (!list) return NULL;
  snprintf(buf, n, "%.*s", (int)strcspn(list, ","), list);
  return strcmp(buf, "-") && *buf ? buf : NULL;
}
