/* The text files of a generated library: the C header, pkg-config and CMake files; and the static library's
   container (the System V archive format with its symbol index, man 5 ar). */
#include "codegen/aot/aot.h"
#include "codegen/emit/kind.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- C names ---- */
static const char *upper(Arena *a, const char *s) {
  char *u = arena_strdup(a, s);
  for (char *c = u; *c; c++) *c = (char)toupper((unsigned char)*c);
  return u;
}

bool aot_own_name(const char *name) {
  static const char *const own[] = {"init", "tensors",    "tensor",     "error",
                                    "load", "arena_size", "arena_align"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (!strcmp(own[i], name)) return true;
  return false;
}

static bool taken(const Aot *a, const char *const *names, int n, const char *name) {
  if (aot_own_name(name) || !strcmp(name, a->opt->function)) return true;
  for (int i = 0; i < n; i++)
    if (!strcasecmp(names[i], name)) return true; /* NAME_X_COUNT is in capitals */
  return false;
}

static const char *const kind_words[] = {
    [PT_ARG] = "in", [PT_STATE] = "state", [PT_RUNTIME] = "runtime", [PT_RESULT] = "out"};

/* "encoder.conv1.weight" -> "encoder_conv1_weight"; a name in use gets its kind in front, then a number. */
static const char **c_names(const Aot *a) {
  const Plan *p = a->plan;
  const char **names = NEWN(a->a, const char *, p->ntensor + 1);
  for (int i = 0; i < p->ntensor; i++) {
    char *s = arena_strdup(a->a, p->tensor[i].name);
    for (char *c = s; *c; c++)
      if (!isalnum((unsigned char)*c)) *c = '_';
    const char *name = s;
    if (taken(a, names, i, name)) name = arena_printf(a->a, "%s_%s", kind_words[p->tensor[i].kind], s);
    for (int k = 2; taken(a, names, i, name); k++)
      name = arena_printf(a->a, "%s_%s_%d", kind_words[p->tensor[i].kind], s, k);
    names[i] = name;
  }
  return names;
}

/* The package that the code calls, or NULL. */
static const char *library(const Aot *a) {
  for (int k = 0; k < a->p->kernel.n; k++)
    if (codegen_kind(&a->p->kernel.v[k])->library) return codegen_kind(&a->p->kernel.v[k])->library;
  return NULL;
}

/* ---- the header ---- */
static void put_accessors(const Aot *a, const char *const *name, PlanTensorKind kind, bool trained,
                          const char *title, StrBuf *b) {
  bool first = true;
  for (int i = 0; i < a->plan->ntensor; i++) {
    const PlanTensor *t = &a->plan->tensor[i];
    if (t->kind != kind || t->trained != trained) continue;
    if (first) sb_printf(b, "\n/* ---- %s ---- */\n", title);
    first = false;
    char type[128];
    const char *p = a->opt->prefix, *P = upper(a->a, p), *N = upper(a->a, name[i]), *c = dtype_row(t->dt)->c;
    sb_printf(b, "/* %s: %s */\n", t->name, type_str(t->dt, &t->shape, type));
    sb_printf(b, "#define %s_%s_COUNT %lld\n", P, N, (long long)shape_count(&t->shape));
    sb_printf(b,
              "static inline %s *%s_%s(void *arena) {\n  return (%s *)(void *)((char *)arena + %lld);\n}\n",
              c, p, name[i], c, (long long)t->offset);
  }
}

static const char *take(const Aot *a, StrBuf *b) {
  const char *s = arena_strdup(a->a, b->s ? b->s : "");
  sb_free(b);
  return s;
}

const char *aot_header(const Aot *a) {
  StrBuf b = {0};
  const char *p = a->opt->prefix, *P = upper(a->a, p), *const *name = c_names(a), *more = library(a);
  const char *needs = more ? arena_printf(a->a, ", -lm and -l%s", more) : " and -lm only";
  bool step = a->plan->ncompute < a->plan->nstep;
  sb_printf(
      &b,
      "/* %s of %s, compiled by jepac. Needs the C library%s.\n\n"
      "   An arena is %s_ARENA_SIZE bytes at a multiple of %s_ARENA_ALIGN, provided by the caller; it holds\n"
      "   everything, states too, and may be copied and moved between calls. Calls with different arenas "
      "may\n"
      "   run at the same time. %s_init comes first. The functions return 0 or a code of the enum below. "
      "*/\n",
      a->opt->function, a->opt->title, needs, P, P, p);
  sb_printf(&b,
            "#ifndef JEPAC_%s_H\n#define JEPAC_%s_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
            P, P);
  sb_printf(
      &b,
      "#define %s_ARENA_SIZE %lldu\n#define %s_ARENA_ALIGN %du\n"
      "size_t %s_arena_size(void); /* the same, for what has no header */\nsize_t %s_arena_align(void);\n\n",
      P, (long long)a->arena_bytes, P, TENSOR_ALIGN, p, p);
  sb_printf(&b,
            "enum {\n  %s_OK = %d,\n  %s_BAD_ARENA = %d, /* null or misaligned */\n"
            "  %s_BAD_CPU = %d,   /* this CPU lacks instructions the code uses */\n"
            "  %s_NONFINITE = %d, /* %s is NaN or infinite%s */\n"
            "  %s_NO_TILES = %d,  /* the system denies this process the CPU's tiles (AMX) */\n"
            "  %s_NO_FILE = %d,   /* the file of weights cannot be opened */\n"
            "  %s_BAD_FILE = %d   /* it is not the one this library was compiled for, or could not be read "
            "*/\n};\n\n",
            P, AOT_OK, P, AOT_BAD_ARENA, P, AOT_BAD_CPU, P, AOT_NONFINITE,
            step ? "a scalar result" : "the loss",
            step ? "; no state has changed" : ", as from a label that is no class", P, AOT_NO_TILES, P,
            AOT_NO_FILE, P, AOT_BAD_FILE);
  bool file = a->opt->weights_header;
  sb_printf(&b, "/* Gives every state its initial value%s. */\nint %s_init(void *arena, uint64_t seed);\n",
            a->opt->nweight && !file
                ? arena_printf(a->a, ", %d of them the weights in the library", a->opt->nweight)
                : "",
            p);
  if (file)
    sb_printf(&b,
              "/* Reads %d states from %s.safetensors, after init. Where it fails with %s_BAD_FILE the "
              "states may be of\n"
              "   neither. */\nint %s_load(void *arena, const char *path);\n",
              a->opt->nweight, p, P, p);
  sb_printf(&b, "/* Reads the inputs below, writes the results%s. */\nint %s_%s(void *arena);\n\n",
            step ? " and the new states" : "", p, a->opt->function);
  sb_printf(&b,
            "static inline const char *%s_error(int code) {\n"
            "  return code == %s_OK          ? \"ok\"\n"
            "         : code == %s_BAD_ARENA ? \"the arena is null or misaligned\"\n"
            "         : code == %s_BAD_CPU   ? \"this CPU lacks instructions the library uses\"\n"
            "         : code == %s_NONFINITE ? \"a result is not finite\"\n"
            "         : code == %s_NO_TILES  ? \"the system denies this process the CPU's tiles (AMX)\"\n"
            "         : code == %s_NO_FILE   ? \"the file of weights cannot be opened\"\n"
            "         : code == %s_BAD_FILE  ? \"the file of weights is not this library's\"\n"
            "                                 : \"unknown code\";\n}\n\n",
            p, P, P, P, P, P, P, P);
  sb_printf(
      &b,
      "/* Every tensor of the arena, row-major. kind: %d input, %d state, %d run-time number, %d result. "
      "type:",
      PT_ARG, PT_STATE, PT_RUNTIME, PT_RESULT);
  for (int t = DT_NONE + 1; t < DT_COUNT; t++)
    sb_printf(&b, "%s %d %s", t > 1 ? "," : "", t, dtype_name((DType)t));
  sb_printf(&b,
            ".\n   trained: a parameter. */\n"
            "typedef struct {\n  const char *name;\n  int32_t kind, type, trained, rank;\n  int64_t dim[8], "
            "offset, "
            "bytes;\n} %s_tensor;\nconst %s_tensor *%s_tensors(int32_t *count);\n",
            p, p, p);
  put_accessors(a, name, PT_ARG, false, "inputs", &b);
  put_accessors(a, name, PT_RUNTIME, false,
                arena_printf(a->a,
                             "run-time numbers; init sets seed, step 0, steps_per_epoch %d, total_steps %d",
                             FREE_STEPS_PER_EPOCH, FREE_TOTAL_STEPS),
                &b);
  put_accessors(a, name, PT_RESULT, false, "results", &b);
  put_accessors(a, name, PT_STATE, true, "parameters", &b);
  put_accessors(a, name, PT_STATE, false, "other states", &b);
  sb_printf(&b, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
  return take(a, &b);
}

/* ---- build systems: the files are used from the folder they lie in ---- */
const char *aot_pkgconfig(const Aot *a) {
  const char *p = a->opt->prefix, *more = library(a);
  return arena_printf(
      a->a,
      "prefix=${pcfiledir}\n\nName: %s\nDescription: %s of %s, compiled by jepac\nVersion: 1\n"
      "%sCflags: -I${prefix}\nLibs: -L${prefix} -l%s -lm\n",
      p, a->opt->function, a->opt->title, more ? arena_printf(a->a, "Requires: %s\n", more) : "", p);
}

const char *aot_cmake(const Aot *a) {
  const char *p = a->opt->prefix, *more = library(a);
  return arena_printf(a->a,
                      "# find_package(%s CONFIG); target_link_libraries(... %s::%s)\n"
                      "if(NOT TARGET %s::%s)\n"
                      "  add_library(%s::%s STATIC IMPORTED)\n"
                      "  set_target_properties(%s::%s PROPERTIES\n"
                      "    IMPORTED_LOCATION \"${CMAKE_CURRENT_LIST_DIR}/lib%s.a\"\n"
                      "    INTERFACE_INCLUDE_DIRECTORIES \"${CMAKE_CURRENT_LIST_DIR}\"\n"
                      "    INTERFACE_LINK_LIBRARIES \"%s%sm\")\n"
                      "endif()\n",
                      p, p, p, p, p, p, p, p, p, p, more ? more : "", more ? ";" : "");
}

/* ---- archives ---- */
static void put_header(StrBuf *b, const char *name, size_t size) {
  sb_printf(b, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "100644", size);
}

static void put_big_endian(StrBuf *b, uint32_t x) {
  for (int i = 24; i >= 0; i -= 8) sb_put(b, &(char){(char)(x >> i)}, 1);
}

static void pad(StrBuf *b) {
  if (b->n & 1) sb_put(b, "\n", 1);
}

AotFile aot_archive(Arena *a, const char *name, const char *member, const void *object, size_t n,
                    const char *const *symbols, int nsymbol) {
  StrBuf b = {0};
  size_t index = 4 + 4 * (size_t)nsymbol, names = strlen(member) + 2;
  for (int i = 0; i < nsymbol; i++) index += strlen(symbols[i]) + 1;
  size_t at = 8 + 60 + index + (index & 1) + 60 + names + (names & 1); /* of the member */
  sb_printf(&b, "!<arch>\n");
  put_header(&b, "/", index);
  put_big_endian(&b, (uint32_t)nsymbol);
  for (int i = 0; i < nsymbol; i++) put_big_endian(&b, (uint32_t)at);
  for (int i = 0; i < nsymbol; i++) sb_put(&b, symbols[i], strlen(symbols[i]) + 1);
  pad(&b);
  put_header(&b, "//", names); /* the table of long names */
  sb_printf(&b, "%s/\n", member);
  pad(&b);
  if (b.n != at) bug("an archive's index is %zu bytes off", at - b.n);
  put_header(&b, "/0", n);
  sb_put(&b, object, n);
  pad(&b);
  char *data = arena_alloc(a, b.n);
  memcpy(data, b.s, b.n);
  AotFile f = {name, data, b.n};
  sb_free(&b);
  return f;
}
