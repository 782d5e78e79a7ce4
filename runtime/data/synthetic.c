/* Standard normal numbers, uniform labels and tokens: a pure function of seed and step. */
#include "runtime/data/source.h"

static void fill_normal(float *p, int64_t n, const Fill *f, FieldKind kind) {
  Rng r = rng_stream(f->seed, (uint32_t)f->step, (uint32_t)f->place, 0xffff0000u | (uint32_t)kind);
  for (int64_t i = 0; i < n; i++) p[i] = (float)rng_normal(&r);
}

static void fill_classes(int64_t *p, int64_t n, const DataSet *s, const Fill *f, FieldKind kind) {
  Rng r = rng_stream(f->seed, (uint32_t)f->step, (uint32_t)f->place, 0xffff0000u | (uint32_t)kind);
  for (int64_t i = 0; i < n; i++) p[i] = rng_below(&r, (uint32_t)s->classes);
}

static bool fill_synthetic(const DataSet *s, const Fill *f, Reason *why) {
  (void)why;
  int64_t image = (int64_t)s->channels * s->size * s->size;
  int64_t n[FIELD_KINDS] = {[FIELD_IMAGE] = image,
                            [FIELD_VIEWS] = image * s->views,
                            [FIELD_ACTIONS] = (int64_t)(s->views - 1) * s->components,
                            [FIELD_X] = s->features};
  for (int k = 0; k < FIELD_KINDS; k++)
    if (f->out[k] && n[k]) fill_normal(f->out[k], n[k], f, (FieldKind)k);
  if (f->out[FIELD_LABEL]) fill_classes(f->out[FIELD_LABEL], 1, s, f, FIELD_LABEL);
  if (f->out[FIELD_TOKENS]) fill_classes(f->out[FIELD_TOKENS], s->tokens, s, f, FIELD_TOKENS);
  return true;
}

Status open_synthetic(Opening *o) {
  DataSet *s = o->s;
  if (o->folder) {
    diag_error(o->d, NULL, "--data has no effect: synthetic data are made, not read");
    return ST_USAGE;
  }
  s->views = (int)source_number(o, "views", 1);
  s->size = (int)source_number(o, "size", 32);
  s->channels = (int)source_number(o, "channels", 3);
  s->given = s->components = (int)source_number(o, "action_dim", 0);
  s->classes = (int)source_number(o, "classes", 10);
  s->features = (int64_t)source_number(o, "features", 0);
  s->tokens = (int64_t)source_number(o, "tokens", 0);
  s->samples = (int64_t)source_number(o, "length", 1024);
  s->fill = fill_synthetic;
  if (s->views >= 1 && s->size >= 1 && s->channels >= 1 && s->components >= 0 && s->classes >= 1 &&
      s->features >= 0 && s->tokens >= 0 && s->samples >= 1)
    return ST_OK;
  return source_wrong(o, "the sizes of synthetic data must be positive");
}
