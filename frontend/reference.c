/* What the language offers, as Markdown: built-in functions from their table; declarations of the library
   from its text, each with the comment above it, under the headings "# ---- name ----". */
#include "frontend/reference.h"
#include "frontend/elab.h"
#include "frontend/std.h"

#include <ctype.h>
#include <string.h>

void frontend_functions(StrBuf *out) {
  sb_printf(out, "| function | meaning |\n|-|-|\n");
  const Builtin *b;
  for (int i = 0; (b = builtin_at(i)); i++) {
    const char *p = b->params, *sep = "";
    sb_printf(out, "| `%s(", b->name);
    while (*p) {
      size_t n = strcspn(p, " ");
      bool rest = *p == '*', optional = p[n - 1] == '?';
      if (rest) sb_printf(out, "x, ...");
      else sb_printf(out, optional ? "%s[%.*s]" : "%s%.*s", sep, (int)n - optional, p);
      sep = ", ";
      p += n;
      p += strspn(p, " ");
    }
    sb_printf(out, ")` | %s |\n", b->doc);
  }
}

/* Text with its runs of blanks and line breaks made one blank each. */
static void one_line(const char *s, const char *end, StrBuf *out) {
  while (end > s && isspace((unsigned char)end[-1])) end--;
  for (; s < end; s++)
    if (!isspace((unsigned char)*s)) sb_put(out, s, 1);
    else if (!isspace((unsigned char)s[-1])) sb_put(out, " ", 1);
}

static const char *line_start(const char *text, const char *p) {
  while (p > text && p[-1] != '\n') p--;
  return p;
}

/* The heading a declaration stands under, or NULL. */
static const char *heading_above(const Source *src, const char *p, int *len) {
  static const char mark[] = "# ---- ";
  while (p > src->text) {
    p = line_start(src->text, p - 1);
    if (strncmp(p, mark, strlen(mark))) continue;
    p += strlen(mark);
    *len = (int)(strstr(p, " ----") - p);
    return p;
  }
  return NULL;
}

/* The comment right above the line at p. */
static void comment_above(const Source *src, const char *p, StrBuf *out) {
  const char *first = p;
  while (first > src->text) {
    const char *up = line_start(src->text, first - 1);
    if (*up != '#' || !strncmp(up, "# --", 4)) break;
    first = up;
  }
  if (first == src->text) return; /* of the whole file */
  const char *sep = ": ";
  for (; first < p; sep = " ") {
    const char *end = strchr(first, '\n');
    sb_printf(out, "%s", sep);
    one_line(first + 1 + (first[1] == ' '), end, out);
    first = end + 1;
  }
}

static void declaration(const Source *src, const Ast *d, StrBuf *out) {
  static const char *const kinds[] = {"model", "optimizer"};
  const char *kind = "";
  for (int i = 0; i < 2; i++)
    if (name_is(d->word, kinds[i])) kind = kinds[i];
  sb_printf(out, "- %s%s`", kind, *kind ? " " : "");
  one_line(src->text + d->begin, src->text + d->kid[0]->begin, out);
  sb_printf(out, "`");
  comment_above(src, line_start(src->text, src->text + d->begin), out);
  sb_printf(out, "\n");
}

void frontend_library(Arena *a, StrBuf *out) {
  Diags *d = diags_new(a);
  for (int i = 0; i < std_nfile; i++) {
    Source *src = NEW(a, Source);
    *src = (Source){std_files[i].path, (const char *)std_files[i].text, std_files[i].len};
    if (!strcmp(src->path, "std/data.jepa")) continue; /* docs/data-sources.md */
    if (!strncmp(src->path, "std/onnx", 8)) continue;  /* docs/onnx.md */
    const Ast *file = parse_file(a, d, intern_new(a, NULL), src);
    const char *last = "";
    sb_printf(out, "%s`%s`\n\n", out->n ? "\n" : "", src->path);
    for (int k = 0; k < file->nkid; k++) {
      int len;
      const char *heading = heading_above(src, src->text + file->kid[k]->begin, &len);
      if (heading && heading != last) {
        sb_printf(out, "%s*%.*s*\n\n", k ? "\n" : "", len, heading);
        last = heading;
      }
      declaration(src, file->kid[k], out);
    }
  }
}
