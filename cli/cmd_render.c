/* jepac render: a data set of rendered objects. */
#include "cli/cli.h"
#include "runtime/data/augment.h"
#include "runtime/render/dataset.h"
#include "runtime/render/shapes.h"

#include <string.h>
#include <unistd.h>

/* A line that overwrites itself, on a terminal. */
static void show(int64_t done, int64_t objects) {
  if (done % 16 && done < objects) return;
  fprintf(stderr, "\r%lld of %lld objects%s", (long long)done, (long long)objects,
          done == objects ? "\n" : "");
  fflush(stderr);
}

/* The classes that --shapes names. */
static Status chosen_shapes(Cli *c, RenderJob *j) {
  int *shape = NEWN(c->arena, int, shapes_count());
  const char *name[64];
  for (int i = 0; i < shapes_count() && i < 64; i++) name[i] = shapes_name(i);
  j->classes = 0;
  j->shape = shape;
  for (const char *p = OPT(c, shapes); *p;) {
    size_t n = strcspn(p, ",");
    const char *word = arena_strndup(c->arena, p, n);
    int k = 0;
    while (k < shapes_count() && strcmp(shapes_name(k), word)) k++;
    if (k == shapes_count()) {
      const char *near = nearest_name(word, name, shapes_count());
      return cli_fail(c, ST_USAGE, "--shapes: there is no class %s%s%s", word, near ? "; did you mean " : "",
                      near ? near : "");
    }
    for (int i = 0; i < j->classes; i++)
      if (shape[i] == k) return cli_fail(c, ST_USAGE, "--shapes names %s twice", word);
    shape[j->classes++] = k;
    p += n + (p[n] == ',');
  }
  return ST_OK;
}

Status cmd_render(Cli *c) {
  enum { MAX_SIZE = 1024, MAX_OBJECTS = 10000000 };
  const char *out = OPT(c, out);
  int64_t objects = OPT(c, objects), views = OPT(c, views), size = OPT(c, size), classes = OPT(c, classes);
  RenderJob j = {.folder = out,
                 .objects = objects,
                 .views = (int)(views ? views : 50),
                 .size = (int)(size ? size : 128),
                 .classes = (int)(classes ? classes : shapes_count()),
                 .plain = OPT(c, plain),
                 .grey = OPT(c, grey),
                 .textures = OPT(c, textures),
                 .distractors = (int)OPT(c, distractors),
                 .seed = cli_seed(c, NULL)};
  if (!out) return cli_fail(c, ST_USAGE, "render needs --out DIR");
  if (!objects) return cli_fail(c, ST_USAGE, "render needs --objects N");
  if (objects < 2 || objects > MAX_OBJECTS)
    return cli_fail(c, ST_USAGE, "--objects is 2 to %d, not %lld: some train, some validate", MAX_OBJECTS,
                    (long long)objects);
  if (views > MAX_VIEWS) return cli_fail(c, ST_USAGE, "--views is at most %d", MAX_VIEWS);
  if (j.size < 8 || size > MAX_SIZE) return cli_fail(c, ST_USAGE, "--size is 8 to %d", MAX_SIZE);
  if (classes > shapes_count())
    return cli_fail(c, ST_USAGE, "--classes is at most %d, as many as there are", shapes_count());
  if (!OPT(c, quiet) && isatty(2)) j.progress = show;
  if (j.distractors > 16) return cli_fail(c, ST_USAGE, "--distractors is at most 16");
  if (j.plain && j.grey) return cli_fail(c, ST_USAGE, "--plain has no hues: --grey says nothing more");
  if (OPT(c, shapes)) {
    if (classes) return cli_fail(c, ST_USAGE, "--classes and --shapes exclude each other");
    Status bad = chosen_shapes(c, &j);
    if (bad) return bad;
  }
  double from = now_seconds();
  Status s = render_dataset(&j, c->diags);
  if (s) return s;
  double seconds = now_seconds() - from;
  if (!OPT(c, quiet))
    printf("%lld objects of %d classes, %lld pictures in %s (%.0f a second)\n", (long long)j.objects,
           j.classes, (long long)j.objects * j.views, out, (double)(j.objects * j.views) / seconds);
  return ST_OK;
}
