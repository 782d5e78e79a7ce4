/* Fuzz targets of files: tensors, data sets, pictures, the log of a run, the object cache. A reader gives values
   inside what it promised, or one report. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "codegen/jit/cache.h"
#include "runtime/checkpoint.h"
#include "runtime/data/archive.h"
#include "runtime/npy.h"
#include "runtime/data/idx.h"
#include "runtime/data/source.h"
#include "runtime/metrics.h"

static volatile uint64_t sink; /* what is read must be readable */
static void touch(const void *p, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += ((const uint8_t *)p)[i];
  sink += sum;
}

void fuzz_safetensors(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  StFile *f = st_open(fuzz_file(0, data, n), d);
  FUZZ_CHECK(f || diags_errors(d) > 0);
  for (int i = 0; f && i < st_count(f); i++) {
    const StTensor *t = st_tensor(f, i);
    FUZZ_CHECK(t->bytes == shape_count(&t->shape) * dtype_size(t->dt));
    touch(t->data, (size_t)t->bytes);
    touch(t->name, strlen(t->name));
    FUZZ_CHECK(st_find(f, t->name) != NULL);
  }
  if (f) st_close(f);
  arena_free(a);
}

void fuzz_checkpoint(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  CheckpointInfo info;
  fuzz_put("checkpoint.safetensors", data, n);
  StFile *f = checkpoint_open(fuzz_folder(), &info, a, d);
  FUZZ_CHECK((f != NULL) == (diags_errors(d) == 0));
  if (f) FUZZ_CHECK(info.step >= 0 && info.epoch >= 0 && info.model && info.recipe && info.text);
  st_close(f);
  arena_free(a);
}

void fuzz_npy(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  StTensor t;
  Status s = npy_read(fuzz_file(0, data, n), &t, a, d);
  FUZZ_CHECK((s == ST_OK) == (diags_errors(d) == 0));
  if (!s) touch(t.data, (size_t)t.bytes);
  NpyArray x;
  char text[32];
  bool parsed = !npy_parse(data, n, &x);
  for (int64_t i = 0; parsed && i < x.count && i < 4096; i++) {
    if (x.kind == 'U' || x.kind == 'S') npy_text(&x, i, text, sizeof text);
    else sink += (uint64_t)(npy_number(&x, i) != 0);
  }
  arena_free(a);
}

void fuzz_idx(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  for (int rank = 1; rank <= 3; rank += 2) {
    Diags *d = diags_new(a);
    IdxFile f;
    Status s = idx_read(fuzz_file(0, data, n), rank, &f, d);
    FUZZ_CHECK((s == ST_OK) == (diags_errors(d) == 0));
    if (s) continue;
    size_t size = 1;
    for (int i = 0; i < rank; i++) size *= (size_t)f.dim[i];
    touch(f.data, size);
    free(f.data);
  }
  arena_free(a);
}

/* Opens a source on the fuzz folder and reads a few samples. */
static void open_source(const char *name, const char *folder, bool train) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  DataSpec spec = {.source = name};
  DataSet s;
  Status st = dataset_open(&s, &spec, folder, train, d);
  FUZZ_CHECK((st == ST_OK) == (diags_errors(d) == 0));
  if (!st) {
    float *image = malloc(sizeof(float) * (size_t)(s.channels * s.size * s.size + 1));
    float *room = malloc(sizeof(float) * (size_t)(s.room + 1));
    FUZZ_CHECK(image && room);
    for (int64_t i = 0; i < s.samples && i < 3; i++) {
      Reason why = {""};
      int64_t label = -1;
      Fill f = {.sample = i, .room = room};
      f.out[FIELD_IMAGE] = image;
      f.out[FIELD_LABEL] = &label;
      if (s.fill(&s, &f, &why)) FUZZ_CHECK(label >= -1 && label < s.classes);
      else FUZZ_CHECK(why.text[0]);
    }
    free(image);
    free(room);
  }
  dataset_close(&s);
  arena_free(a);
}

void fuzz_cifar(const uint8_t *data, size_t n) {
  bool archive = n && data[0] & 1;
  const char *name = archive ? "cifar.tar.gz" : "train.bin";
  char path[256];
  snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
  fuzz_put(name, n ? data + 1 : data, n ? n - 1 : 0);
  open_source("cifar100", archive ? path : fuzz_folder(), true);
}

/* Three files: the input is cut where its first two bytes say. Records are taken from pixels made here. */
void fuzz_stl(const uint8_t *data, size_t n) {
  if (n < 4) return;
  size_t labels = data[0], folds = data[1], pictures = data[2] % 4;
  data += 3, n -= 3;
  if (labels > n) labels = n;
  if (folds > n - labels) folds = n - labels;
  static uint8_t pixels[4 * 3 * 96 * 96];
  size_t record = 3 * 96 * 96, odd = n - labels - folds;
  fuzz_put("train_X.bin", pixels, pictures * record + (odd < record ? odd : 0));
  fuzz_put("train_y.bin", data, labels);
  fuzz_put("fold_indices.txt", data + labels, folds);
  open_source("stl10", fuzz_folder(), true);
}

void fuzz_tar(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  uint8_t *out;
  int64_t size;
  Status s = archive_member(fuzz_file(0, data, n), "train.bin", 1 << 20, &out, &size, d);
  FUZZ_CHECK((s == ST_OK) == (diags_errors(d) == 0));
  if (!s) {
    touch(out, (size_t)size);
    free(out);
  }
  arena_free(a);
}

void fuzz_npz(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  MappedFile m;
  const uint8_t *stored;
  size_t size;
  uint8_t *out;
  int64_t length;
  const char *path = fuzz_file(0, data, n);
  if (!file_map(&m, path, d) && archive_npz_stored(&m, "x", &stored, &size)) touch(stored, size);
  file_unmap(&m);
  if (!archive_npz_member(path, "x", &out, &length, d)) {
    touch(out, (size_t)length);
    free(out);
  }
  arena_free(a);
}

void fuzz_picture(const uint8_t *data, size_t n) {
  enum { SIDE = 24 };
  static uint8_t out[3 * SIDE * SIDE];
  const char *path = fuzz_file(0, data, n);
  for (int channels = 1; channels <= 3; channels += 2) {
    Reason why = {""};
    FUZZ_CHECK(picture_read(path, channels, SIDE, channels == 3, out, &why) || why.text[0]);
  }
}

void fuzz_runlog(const uint8_t *data, size_t n) {
  char path[256];
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  fuzz_put("run.jsonl", data, n);
  snprintf(path, sizeof path, "%s/run.jsonl", fuzz_folder());
  RunLog *l = runlog_open(path, "{}", n ? data[0] : 0, true, d);
  FUZZ_CHECK(l || diags_errors(d) > 0);
  if (l) {
    Metric m = {"loss", 1.5};
    FUZZ_CHECK(!runlog_record(l, 300, &m, 1, d));
    runlog_close(l);
  }
  arena_free(a);
}

void fuzz_cache(const uint8_t *data, size_t n) {
  static const char key[] = "a key";
  fuzz_put("jk_entry", data, n);
  size_t size = 0;
  char *got = cache_read(fuzz_folder(), "jk_entry", key, sizeof key - 1, &size);
  if (got) touch(got, size + 1);
  free(got);
}
