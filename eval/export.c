/* Embeddings, labels and actions as one safetensors file and as npy files. */
#include "eval/parts.h"
#include "runtime/ranks.h"
#include "runtime/file.h"
#include "runtime/npy.h"

static void add(Eval *e, StTensor *t, int *n, const char *part, const char *name, DType dt, Shape shape,
                const void *data) {
  t[(*n)++] = (StTensor){.name = arena_printf(e->arena, "%s.%s", part, name),
                         .dt = dt,
                         .shape = shape,
                         .data = data,
                         .bytes = shape_count(&shape) * dtype_size(dt)};
}

static Status add_part(Eval *e, int part, const char *name, StTensor *t, int *n) {
  Status s = eval_images(e, part);
  if (s) return s;
  const Images *m = &e->images[part];
  add(e, t, n, name, "image.encoder", DT_F32, (Shape){2, {m->n, e->dim}}, m->z[TRAINED]);
  add(e, t, n, name, "image.label", DT_I64, (Shape){1, {m->n}}, m->label);
  add(e, t, n, name, "image.sample", DT_I64, (Shape){1, {m->n}}, m->sample);
  if (!e->nact) return ST_OK;
  if ((s = eval_sequences(e, part))) return s;
  const Sequences *q = &e->sequences[part];
  add(e, t, n, name, "encoder", DT_F32, (Shape){3, {q->n, q->views, e->dim}}, q->z[TRAINED]);
  add(e, t, n, name, "label", DT_I64, (Shape){1, {q->n}}, q->label);
  add(e, t, n, name, "sample", DT_I64, (Shape){1, {q->n}}, q->sample);
  add(e, t, n, name, "actions", DT_F32, (Shape){3, {q->n, q->views - 1, e->nact}}, q->action);
  add(e, t, n, name, "params", DT_F32, (Shape){3, {q->n, q->views, e->nact}}, q->param);
  for (int i = 0; i < e->size.m_val.n && entry_offered(e, "aggregate"); i++) {
    int64_t M = e->size.m_val.v[i];
    float *agg;
    if ((s = eval_aggregate(e, q, M, 0, e->arena, &agg))) return s;
    add(e, t, n, name, arena_printf(e->arena, "aggregate.%lld", (long long)M), DT_F32,
        (Shape){2, {q->n, e->aggregate[M].width}}, agg);
  }
  return ST_OK;
}

/* One line a row, where the source has names. */
static Status write_names(Eval *e, const char *folder, const char *part, const char *const *name, int64_t n) {
  StrBuf b = {0};
  for (int64_t i = 0; i < n; i++) sb_printf(&b, "%s\n", name[i] ? name[i] : "");
  const char *path = arena_printf(e->arena, "%s/%s.name.txt", folder, part);
  Status s = n && name[0] ? file_write(path, b.s, b.n, e->diags) : ST_OK;
  sb_free(&b);
  return s;
}

Status eval_export(Eval *e, const char *folder) {
  StTensor t[NPART * (8 + MAX_M)];
  int n = 0;
  bool writes = !e->opt->ranks || e->opt->ranks->rank == 0;
  Status s = portion_settle(e->opt->ranks, writes ? file_make_folder(folder, e->diags) : ST_OK);
  if (!s) s = add_part(e, TRAIN, "train", t, &n);
  if (!s) s = add_part(e, TEST, "test", t, &n);
  if (s || !writes) return s;
  const StMeta meta[] = {{"run", e->folder},
                         {"step", arena_printf(e->arena, "%lld", (long long)e->info.step)}};
  s = st_write(arena_printf(e->arena, "%s/features.safetensors", folder), t, n, meta, 2, e->diags);
  for (int i = 0; i < n && !s; i++)
    s = npy_write(arena_printf(e->arena, "%s/%s.npy", folder, t[i].name), &t[i], e->diags);
  static const char *const parts[NPART] = {"train", "test"};
  for (int part = 0; part < NPART && !s; part++) {
    const Images *m = &e->images[part];
    const Sequences *q = &e->sequences[part];
    s = write_names(e, folder, arena_printf(e->arena, "%s.image", parts[part]), m->name, m->n);
    if (!s) s = write_names(e, folder, parts[part], q->name, q->n);
  }
  return s;
}
