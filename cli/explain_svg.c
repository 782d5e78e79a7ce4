/* The arena as a picture: kernels run from left to right, offsets grow upwards, each buffer is a rectangle
   over its life, coloured by its part of the step; pointing at one names its line. */
#include "cli/explain.h"

#include <string.h>

void put_xml(StrBuf *b, const char *s) {
  for (; *s; s++) {
    const char *e = *s == '<'   ? "&lt;"
                    : *s == '>' ? "&gt;"
                    : *s == '&' ? "&amp;"
                    : *s == '"' ? "&quot;"
                                : NULL;
    if (e) sb_printf(b, "%s", e);
    else if ((unsigned char)*s >= 32 || *s == '\n') sb_put(b, s, 1);
  }
}

enum { LEFT = 70, TOP = 34, WIDTH = 960, HEIGHT = 420 };
static const char *const colour[] = {"#4c78a8", "#e45756", "#72b7b2", "#bab0ac", "#f2cf5b"};
static const char *const part[] = {"forward", "gradient", "update", "states and inputs",
                                   "work space of kernels"};

typedef struct {
  const Program *p;
  double x, y; /* pixels a kernel, a byte */
} Scale;

static void rectangle(StrBuf *b, const Scale *s, int64_t offset, int64_t bytes, int first, int last,
                      int what) {
  sb_printf(b, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"><title>",
            LEFT + s->x * (first + 1), TOP + HEIGHT - s->y * (double)(offset + bytes),
            s->x * (last - first + 1), s->y * (double)bytes, colour[what]);
}

static void axes(StrBuf *b, const Scale *s, Arena *a) {
  double total = (double)s->p->arena_bytes;
  for (int i = 0; i <= 4; i++) {
    double y = TOP + HEIGHT - HEIGHT * i / 4.0;
    sb_printf(b, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ccc\"/>", LEFT, y, LEFT + WIDTH,
              y);
    sb_printf(b, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, y + 4,
              human_bytes(a, (int64_t)(total * i / 4)));
  }
  int n = s->p->kernel.n;
  for (int i = 0; i <= 4; i++) {
    int k = (n - 1) * i / 4;
    sb_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">k%d</text>\n", LEFT + s->x * (k + 1.5),
              TOP + HEIGHT + 18, k);
  }
  double split = LEFT + s->x * (s->p->ncompute + 1);
  sb_printf(b,
            "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#333\" stroke-dasharray=\"3,3\"/>\n",
            split, TOP, split, TOP + HEIGHT);
  for (int i = 0; i < 5; i++)
    sb_printf(
        b,
        "<rect x=\"%d\" y=\"10\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"20\">%s</text>\n",
        LEFT + i * 180, colour[i], LEFT + i * 180 + 16, part[i]);
}

void memory_svg(const Program *p, Lines *t, StrBuf *b) {
  Arena *a = arena_new();
  int *first = NEWN(a, int, p->buf.n + 1), *last = NEWN(a, int, p->buf.n + 1);
  program_lifetimes(p, first, last);
  Scale s = {p, WIDTH / (double)(p->kernel.n + 2), HEIGHT / (double)(p->arena_bytes ? p->arena_bytes : 1)};
  sb_printf(b,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<style>rect:hover{stroke:#000;stroke-width:1.5}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            LEFT + WIDTH + 20, TOP + HEIGHT + 30);
  axes(b, &s, a);
  int64_t at = 0;
  for (int i = 0; i < p->graph->inputs.n; i++) {
    const Node *n = g_node(p->graph, p->graph->inputs.v[i].val);
    int64_t bytes = tensor_room(n->dt, &n->shape);
    rectangle(b, &s, at, bytes, -1, p->kernel.n, 3);
    put_xml(b, p->graph->inputs.v[i].name);
    sb_printf(b, " %s</title></rect>\n", human_bytes(a, bytes));
    at += bytes;
  }
  for (int i = 0; i < p->buf.n; i++) {
    const Buf *x = &p->buf.v[i];
    if (program_memory(p, i) != i || x->kind == BUF_INPUT || first[i] < 0) continue;
    const Kernel *k = &p->kernel.v[first[i]];
    const Node *n = x->val >= 0 ? g_node(p->graph, x->val) : NULL;
    char type[128];
    rectangle(b, &s, x->offset, x->bytes, first[i], last[i], n ? (int)n->role : 4);
    sb_printf(b, "buf%d %s ", i, type_str(x->dt, &x->shape, type));
    put_xml(b, n ? op_table[n->op].name : "work space");
    sb_printf(b, " ");
    put_xml(b, lines_name(t, lines_find(t, n ? n->loc : k->loc)));
    sb_printf(b, " %s @%lld k%d..k%d</title></rect>\n", human_bytes(a, x->bytes), (long long)x->offset,
              first[i], last[i]);
  }
  sb_printf(b, "</svg>\n");
  arena_free(a);
}
