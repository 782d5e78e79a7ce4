/* Tests of the data sources: IDX and CIFAR readers on good and bad files, augmentations, order and resuming
   of the loader. */
#include "runtime/data/augment.h"
#include "runtime/data/idx.h"
#include "runtime/data/loader.h"
#include "tests/unit/folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* ---- files ---- */
static void put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* An IDX file: header with the given sizes, then n bytes. */
static uint8_t *idx_bytes(int rank, const uint32_t *dim, size_t n, size_t *total) {
  uint8_t *p = arena_alloc(arena, 4 + 4 * (size_t)rank + n);
  p[2] = 8;
  p[3] = (uint8_t)rank;
  for (int i = 0; i < rank; i++) put32(p + 4 + 4 * i, dim[i]);
  for (size_t i = 0; i < n; i++) p[4 + 4 * (size_t)rank + i] = (uint8_t)(i * 2654435761u >> 11);
  *total = 4 + 4 * (size_t)rank + n;
  return p;
}

static void write_gz(const char *path, const void *p, size_t n) {
  gzFile g = gzopen(path, "wb");
  ck_assert_ptr_nonnull(g);
  ck_assert_int_eq(gzwrite(g, p, (unsigned)n), (int)n);
  gzclose(g);
}

START_TEST(idx_good_files) {
  static const uint32_t dim[] = {10, 4, 3};
  size_t n;
  uint8_t *p = idx_bytes(3, dim, 120, &n);
  for (int gz = 0; gz < 2; gz++) {
    IdxFile f;
    (gz ? write_gz : write_bytes)(in_folder("x.idx"), p, n);
    ck_assert_int_eq(idx_read(in_folder("x.idx"), 3, &f, diags), ST_OK);
    ck_assert(f.dim[0] == 10 && f.dim[1] == 4 && f.dim[2] == 3);
    ck_assert_mem_eq(f.data, p + 16, 120);
    free(f.data);
  }
}
END_TEST

START_TEST(idx_bad_files) {
  static const uint32_t dim[] = {10, 4, 3}, more[] = {11, 4, 3}, less[] = {9, 4, 3},
                        huge[] = {0xffffffff, 0xffffffff, 0xffffffff}, big[] = {1 << 20, 1 << 10, 1 << 10};
  const struct {
    const uint32_t *dim;
    int rank, cut, magic; /* cut: bytes taken off; magic: index of a byte to spoil, -1 none */
    const char *word;
  } bad[] = {
      {more, 3, 0, -1, "declares 132 bytes but it holds 120"},
      {less, 3, 0, -1, "longer than the 108 bytes"},
      {huge, 3, 0, -1, "overflow"},
      {big, 3, 0, -1, "overflow"},
      {dim, 3, 1, -1, "truncated"},
      {dim, 3, 125, -1, "no room for an IDX header"},
      {dim, 3, 134, -1, "not an IDX file"},
      {dim, 3, 0, 2, "not an IDX file"},
      {dim, 3, 0, 0, "not an IDX file"},
      {dim, 2, 0, -1, "has 2 dimensions, expected 3"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    for (int gz = 0; gz < 2; gz++) {
      size_t n;
      IdxFile f;
      uint8_t *p = idx_bytes(bad[i].rank, bad[i].dim, 120, &n);
      if (bad[i].magic >= 0) p[bad[i].magic] ^= 0x40;
      (gz ? write_gz : write_bytes)(in_folder("x.idx"), p, n - (size_t)bad[i].cut);
      ck_assert_int_eq(idx_read(in_folder("x.idx"), 3, &f, diags), ST_FILE);
      expect_error("x.idx", bad[i].word);
      ck_assert_ptr_null(f.data);
    }
  IdxFile f;
  ck_assert_int_eq(idx_read(in_folder("none"), 3, &f, diags), ST_FILE);
  expect_error("none", "No such file");
}
END_TEST

START_TEST(idx_damaged_gzip) { /* every truncation and every flipped byte of the compressed file */
  static const uint32_t dim[] = {20, 5, 3};
  size_t n, ngz;
  IdxFile f;
  uint8_t *p = idx_bytes(3, dim, 300, &n);
  write_gz(in_folder("x.idx"), p, n);
  Source *s = source_read(arena, in_folder("x.idx"));
  ngz = s->len;
  for (size_t k = 0; k < ngz; k++) {
    write_bytes(in_folder("x.idx"), s->text, k);
    ck_assert_int_eq(idx_read(in_folder("x.idx"), 3, &f, diags), ST_FILE);
    expect_error("x.idx", "");
  }
  int wrong = 0;
  for (size_t k = 0; k < ngz; k++) {
    char *copy = arena_strndup(arena, s->text, ngz);
    copy[k] ^= 0x10;
    write_bytes(in_folder("x.idx"), copy, ngz);
    if (idx_read(in_folder("x.idx"), 3, &f, diags) ==
        ST_OK) { /* a few bits mean nothing: time, system, padding */
      ck_assert_mem_eq(f.data, p + 16, 300);
      free(f.data);
      continue;
    }
    expect_error("x.idx", "");
    wrong++;
  }
  ck_assert_int_ge(wrong, (int)ngz - 8);
}
END_TEST

/* ---- augmentations ---- */
static Setting range(const char *name, double lo, double hi) {
  return (Setting){.name = name, .kind = SET_RANGE, .num = lo, .hi = hi};
}
static Setting num(const char *name, double v) { return (Setting){.name = name, .kind = SET_NUM, .num = v}; }

static Setting call(const char *name, int n, const Setting *args) {
  Setting *copy = NEWN(arena, Setting, n + 1);
  memcpy(copy, args, (size_t)n * sizeof *args);
  return (Setting){.name = "", .kind = SET_CALL, .str = name, .item = copy, .nitem = n};
}

static Setting list(const char *name, int n, const Setting *items) {
  Setting s = call("", n, items);
  s.kind = SET_LIST;
  s.name = name;
  return s;
}

/* One view of a smooth picture under one augmentation list. */
static void one_view(int channels, int side, int size, Setting actions, const float *image, float *view,
                     double *param) {
  Augmenter g;
  ck_assert_int_eq(augmenter_init(&g, &actions, channels, side, side, size, diags), ST_OK);
  float *room = malloc((size_t)augment_room(&g) * sizeof *room);
  Rng r = rng_stream(1, 2, 3, 4);
  augment_view(&g, &r, image, (Fixation){0, 0}, view, param, room);
  free(room);
}

static float *ramp(int channels, int side) {
  float *p = NEWN(arena, float, channels *side *side);
  for (int i = 0; i < channels * side * side; i++)
    p[i] = (float)(0.5 + 0.3 * sin(i % side * 0.2 + i / side * 0.35));
  return p;
}

START_TEST(rotation_is_counter_clockwise) {
  float *in = NEWN(arena, float, 81), out[81];
  double u[1];
  in[4 * 9 + 8] = 1; /* middle of the right edge */
  Setting a[] = {range("degrees", 90, 90)}, c = call("rotate", 1, a);
  one_view(1, 9, 9, list("actions", 1, &c), in, out, u);
  ck_assert(u[0] == 1);
  ck_assert_float_eq_tol(out[0 * 9 + 4], 1, 1e-5); /* goes to the top */
  double sum = 0;
  for (int i = 0; i < 81; i++) sum += out[i];
  ck_assert_double_eq_tol(sum, 1, 1e-4);
  Setting b[] = {range("degrees", 45, 45)}, e = call("rotate", 1, b);
  float *ones = NEWN(arena, float, 81);
  for (int i = 0; i < 81; i++) ones[i] = 1;
  one_view(1, 9, 9, list("actions", 1, &e), ones, out, u);
  ck_assert(out[0] == 0 && out[8] == 0 && out[72] == 0); /* corners come from outside */
  ck_assert_float_eq_tol(out[40], 1, 1e-6);
}
END_TEST

START_TEST(crop_reads_the_box_it_reports) {
  float *in = NEWN(arena, float, 28 * 28), out[56 * 56], again[28 * 28];
  double u[4];
  for (int i = 0; i < 28 * 28; i++) in[i] = (float)(i % 28) / 28 + (float)(i / 28) / 56;
  for (int size = 28; size <= 56; size += 28) {
    float *to = size == 56 ? out : again;
    Setting a[] = {range("scale", 0.3, 0.5), range("ratio", 0.75, 1.33)}, c = call("crop", 2, a);
    one_view(1, 28, size, list("actions", 1, &c), in, to, u);
    for (int i = 0; i < 4; i++)
      ck_assert(u[i] >= 0 && u[i] <= 1 && fabs(u[i] * 28 - round(u[i] * 28)) < 1e-9);
    ck_assert(u[2] * u[3] > 0.25 && u[2] * u[3] < 0.55 && u[0] + u[2] <= 1 && u[1] + u[3] <= 1);
    for (int y = 2; y < size - 2;
         y++) /* a plane is reproduced exactly by bilinear sampling, away from the edges */
      for (int x = 2; x < size - 2; x++) {
        double sx = u[1] * 28 + (x + 0.5) * u[3] * 28 / size - 0.5,
               sy = u[0] * 28 + (y + 0.5) * u[2] * 28 / size - 0.5;
        ck_assert_float_eq_tol(to[y * size + x], sx / 28 + sy / 56, 1e-5);
      }
  }
  Setting a[] = {range("scale", 1, 1), range("ratio", 1, 1)}, c = call("crop", 2, a); /* the whole image */
  one_view(1, 28, 28, list("actions", 1, &c), in, again, u);
  for (int i = 0; i < 28 * 28; i++) ck_assert_float_eq_tol(again[i], in[i], 1e-6);
  ck_assert(u[0] == 0 && u[1] == 0 && u[2] == 1 && u[3] == 1);
}
END_TEST

START_TEST(jitter_and_blur) {
  float *in = ramp(1, 28), out[28 * 28];
  double u[4], mean_in = 0, mean_out = 0, var_in = 0, var_out = 0;
  Setting j[] = {num("brightness", 0.2), num("contrast", 0)}, cj = call("jitter", 2, j);
  one_view(1, 28, 28, list("actions", 1, &cj), in, out, u);
  ck_assert(u[0] != 1 && u[0] >= 0.8 && u[0] <= 1.2 && u[1] == 1);
  for (int i = 0; i < 784; i++) ck_assert_float_eq_tol(out[i], fmin(1, in[i] * u[0]), 1e-6);
  Setting b[] = {range("sigma", 1.5, 1.5)}, cb = call("blur", 1, b);
  one_view(1, 28, 28, list("actions", 1, &cb), in, out, u);
  ck_assert(u[0] == 1.5);
  for (int i = 0; i < 784; i++) mean_in += in[i] / 784, mean_out += out[i] / 784;
  for (int i = 0; i < 784; i++) var_in += pow(in[i] - mean_in, 2), var_out += pow(out[i] - mean_out, 2);
  ck_assert(fabs(mean_in - mean_out) < 0.01 && var_out < 0.95 * var_in);
  float *point = NEWN(arena, float, 784);
  point[14 * 28 + 14] = 1;
  one_view(1, 28, 28, list("actions", 1, &cb), point, out, u);
  double total = 0, want = 0;
  for (int i = 0; i < 784; i++) total += out[i];
  for (int k = -5; k <= 5; k++) want += exp(-k * k / 4.5);
  ck_assert_double_eq_tol(total, 1, 1e-5);
  ck_assert_double_eq_tol(out[14 * 28 + 14], 1 / (want * want), 1e-6);
  ck_assert_double_eq_tol(out[16 * 28 + 13], exp(-5 / 4.5) / (want * want), 1e-6);
}
END_TEST

START_TEST(colour_jitter) {
  float in[3 * 16], out[3 * 16];
  double u[4];
  for (int i = 0; i < 48; i++) in[i] = (float)((i * 7 + i / 16 * 5) % 16) / 16;
  Setting none[] = {num("brightness", 0), num("contrast", 0), num("saturation", 0), num("hue", 0)};
  Setting c = call("jitter", 4, none);
  one_view(3, 4, 4, list("actions", 1, &c), in, out, u);
  for (int i = 0; i < 48; i++) ck_assert_float_eq_tol(out[i], in[i], 1e-6);
  ck_assert(u[0] == 1 && u[1] == 1 && u[2] == 1 && u[3] == 0);
  none[3].num = 0.5;
  c = call("jitter", 4, none);
  one_view(3, 4, 4, list("actions", 1, &c), in, out, u);
  ck_assert(u[3] != 0 && fabs(u[3]) <= 0.5);
  for (int i = 0; i < 16;
       i++) { /* value and range stay; turning by a third of a circle would exchange channels */
    float hi = fmaxf(in[i], fmaxf(in[16 + i], in[32 + i])), lo = fminf(in[i], fminf(in[16 + i], in[32 + i]));
    ck_assert_float_eq_tol(fmaxf(out[i], fmaxf(out[16 + i], out[32 + i])), hi, 1e-5);
    ck_assert_float_eq_tol(fminf(out[i], fminf(out[16 + i], out[32 + i])), lo, 1e-5);
  }
  none[3].num = 0;
  none[2].num = 1;
  c = call("jitter", 4, none);
  one_view(3, 4, 4, list("actions", 1, &c), in, out, u);
  float g = 0.2989f * in[0] + 0.587f * in[16] + 0.114f * in[32];
  for (int k = 0; k < 3; k++)
    ck_assert_float_eq_tol(out[16 * k], fmin(1, fmax(0, g + u[2] * (in[16 * k] - g))), 1e-5);
}
END_TEST

START_TEST(resize_like_pillow) { /* values of PIL.Image.resize(..., BILINEAR) in mode F */
  float pixel[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, out[36], room[256];
  Image in = {1, 4, 4, pixel}, small = {1, 2, 2, out}, big = {1, 6, 6, out};
  ck_assert_int_le(pixels_room(1, 6), 256);
  pixels_resize(&in, (Box){0, 0, 4, 4}, FILTER_BILINEAR, &small, room);
  ck_assert_float_eq_tol(out[0], 3.5714286f, 1e-5);
  ck_assert_float_eq_tol(out[1], 5.1428571f, 1e-5);
  ck_assert_float_eq_tol(out[3], 11.4285717f, 1e-5);
  pixels_resize(&in, (Box){0, 0, 4, 4}, FILTER_BILINEAR, &big, room);
  ck_assert_float_eq_tol(out[0], 0, 1e-6);
  ck_assert_float_eq_tol(out[1], 0.5f, 1e-5);
  ck_assert_float_eq_tol(out[35], 15, 1e-5);
}
END_TEST

START_TEST(bad_augmentations) {
  Augmenter g;
  Setting r = range("scale", 0, 2), c = call("crop", 1, &r), l = list("actions", 1, &c);
  ck_assert_int_eq(augmenter_init(&g, &l, 1, 28, 28, 28, diags), ST_MODEL);
  expect_error("crop", "out of range");
  c = call("flop", 0, &r);
  l = list("actions", 1, &c);
  ck_assert_int_eq(augmenter_init(&g, &l, 1, 28, 28, 28, diags), ST_MODEL);
  expect_error("flop; did you mean flip", "rotate");
}
END_TEST

/* ---- the loader ---- */
enum { SAMPLES = 37, B = 8, V = 3, A = 8 };

static DataSpec spec_of(const char *source, int size) {
  Setting rot = range("degrees", -90, 90), crop[] = {range("scale", 0.4, 1)},
          jit[] = {num("brightness", 0.4)};
  Setting sig = range("sigma", 0.1, 1.5);
  Setting all[] = {call("rotate", 1, &rot), call("crop", 1, crop), call("jitter", 1, jit),
                   call("blur", 1, &sig)};
  Setting *set = NEWN(arena, Setting, 3);
  set[0] = num("views", V);
  set[1] = num("size", size);
  set[2] = list("actions", 4, all);
  DataField *f = NEWN(arena, DataField, 4);
  int c = strcmp(source, "cifar100") ? 1 : 3;
  f[0] = (DataField){"views", DT_F32, {5, {B, V, c, size, size}}};
  f[1] = (DataField){"actions", DT_F32, {3, {B, V - 1, c == 1 ? A : A + 2}}};
  f[2] = (DataField){"label", DT_I64, {1, {B}}};
  f[3] = (DataField){"image", DT_F32, {4, {B, c, size, size}}};
  return (DataSpec){.source = source, .set = set, .nset = 3, .field = f, .nfield = 4};
}

static const char *const files[] = {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                                    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};

static void make_fashion(int images, int labels, int label_step) {
  size_t n;
  uint32_t di[] = {(uint32_t)images, 28, 28}, dl[] = {(uint32_t)labels};
  for (int part = 0; part < 4; part += 2) {
    uint8_t *p = idx_bytes(3, di, (size_t)images * 784, &n);
    write_gz(in_folder(files[part]), p, n);
    p = idx_bytes(1, dl, (size_t)labels, &n);
    for (int i = 0; i < labels; i++) p[8 + i] = (uint8_t)(i * label_step % 10);
    write_gz(in_folder(files[part + 1]), p, n);
  }
}

typedef struct {
  float views[B * V * 784], actions[B * (V - 1) * A], image[B * 784];
  int64_t label[B];
} Batch;

static void next(Loader *l, Batch *b) {
  memset(b, 0xee, sizeof *b);
  void *dst[] = {b->views, b->actions, b->label, b->image};
  loader_next(l, dst);
}

static Loader *open_ok(const DataSpec *spec, uint64_t seed, int threads) {
  Status st;
  Loader *l = loader_open(spec, folder, B, seed, true, diags, &st);
  ck_assert_ptr_nonnull(l);
  loader_configure(l, false, threads);
  return l;
}

START_TEST(loader_same_batches_always) {
  enum { STEPS = 11 }; /* four batches an epoch */
  make_fashion(SAMPLES, SAMPLES, 1);
  DataSpec spec = spec_of("fashion_mnist", 28);
  Batch *want = NEWN(arena, Batch, STEPS), *got = NEW(arena, Batch);
  Loader *l = open_ok(&spec, 5, 1);
  ck_assert_int_eq(loader_size(l), SAMPLES);
  ck_assert_int_eq(loader_steps_per_epoch(l), 4);
  for (int i = 0; i < STEPS; i++) next(l, &want[i]);
  loader_close(l);
  ck_assert_mem_ne(&want[0], &want[4], sizeof *got);
  for (int threads = 1; threads <= 4; threads += 3) {
    l = open_ok(&spec, 5, threads);
    for (int i = 0; i < STEPS; i++) {
      next(l, got);
      ck_assert_mem_eq(got, &want[i], sizeof *got);
    }
    static const int jumps[] = {9, 2, 2, 10, 0, 7};
    for (int i = 0; i < 6; i++) {
      loader_seek(l, jumps[i]);
      for (int k = jumps[i]; k < STEPS && k < jumps[i] + i; k++) {
        next(l, got);
        ck_assert_mem_eq(got, &want[k], sizeof *got);
      }
    }
    ck_assert(loader_waited(l) > 0);
    loader_close(l);
    l = open_ok(&spec, 5, threads); /* seeking before the first batch: what resuming does */
    loader_seek(l, 6);
    next(l, got);
    ck_assert_mem_eq(got, &want[6], sizeof *got);
    loader_close(l);
  }
  l = open_ok(&spec, 6, 1);
  next(l, got);
  ck_assert_mem_ne(got->label, want[0].label, sizeof got->label);
  loader_close(l);
}
END_TEST

START_TEST(loader_epochs_and_values) {
  make_fashion(SAMPLES, SAMPLES, 1);
  DataSpec spec = spec_of("fashion_mnist", 28);
  Batch *b = NEW(arena, Batch);
  size_t n;
  uint32_t di[] = {SAMPLES, 28, 28};
  const uint8_t *px = idx_bytes(3, di, SAMPLES * 784, &n) + 16;
  Loader *l = open_ok(&spec, 1, 2);
  for (int epoch = 0; epoch < 2; epoch++) {
    int seen[SAMPLES] = {0};
    for (int k = 0; k < 4; k++) {
      next(l, b);
      for (int i = 0; i < B; i++) {
        int s = 0; /* which sample: by its pixels */
        while (s < SAMPLES &&
               fabsf(b->image[i * 784] - ((float)px[s * 784] / 255 - 0.2860f) / 0.3530f) +
                       fabsf(b->image[i * 784 + 555] - ((float)px[s * 784 + 555] / 255 - 0.2860f) / 0.3530f) >
                   1e-4f)
          s++;
        ck_assert_int_lt(s, SAMPLES);
        seen[s]++;
        ck_assert_int_eq(b->label[i], s % 10);
      }
      for (int i = 0; i < B * (V - 1) * A; i++) ck_assert(fabsf(b->actions[i]) <= 2.01f);
      for (int i = 0; i < B * V * 784; i++)
        if (!(b->views[i] > -0.82f && b->views[i] < 2.03f)) ck_abort_msg("pixel %g", (double)b->views[i]);
    }
    for (int s = 0; s < SAMPLES; s++) ck_assert_int_le(seen[s], 1);
  }
  loader_close(l);
  Status st;
  l = loader_open(&spec, folder, B, 1, false, diags, &st);
  loader_configure(l, true, 1);
  void *dst[] = {NULL, NULL, b->label, NULL};
  for (int k = 0; k < 5; k++) {
    loader_next(l, dst);
    for (int i = 0; i < B; i++) ck_assert_int_eq(b->label[i], (k % 4 * B + i) % 10);
  }
  loader_close(l);
}
END_TEST

START_TEST(loader_bad_data) {
  Status st;
  DataSpec spec = spec_of("fashion_mnist", 28);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, true, diags, &st));
  ck_assert_int_eq(st, ST_FILE);
  expect_error("it has no train-images-idx3-ubyte", "expected: the four IDX files");
  setenv("XDG_DATA_DIRS", "/nowhere:/no", 1);
  ck_assert_ptr_null(loader_open(&spec, NULL, B, 1, true, diags, &st));
  unsetenv("XDG_DATA_DIRS");
  expect_error("dataset-fashion-mnist", "--data");
  make_fashion(SAMPLES, SAMPLES - 1, 1);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, true, diags, &st));
  ck_assert_int_eq(st, ST_FILE);
  expect_error("37 images", "36 labels");
  make_fashion(SAMPLES, SAMPLES, 1);
  uint32_t dl[] = {SAMPLES};
  size_t n;
  uint8_t *p = idx_bytes(1, dl, SAMPLES, &n);
  p[8 + 20] = 99;
  write_gz(in_folder(files[1]), p, n);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, true, diags, &st));
  expect_error("train-labels", "is not below 10");
  make_fashion(SAMPLES, SAMPLES, 1);
  ck_assert_ptr_null(loader_open(&spec, folder, SAMPLES + 1, 1, true, diags, &st));
  ck_assert_int_eq(st, ST_MODEL);
  diags = diags_new(arena);
  ((DataField *)(uintptr_t)spec.field)[1].shape.dim[2] = 7;
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, true, diags, &st));
  ck_assert_int_eq(st, ST_MODEL);
  expect_error("f32[8,2,7]", "f32[8,2,8]");
  spec.source = "fashon_mnist";
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, true, diags, &st));
  expect_error("fashon_mnist", "did you mean fashion_mnist");
}
END_TEST

START_TEST(cifar_binary) {
  enum { N = 20, REC = 3074 };
  uint8_t *p = arena_alloc(arena, N * REC);
  for (int i = 0; i < N * REC; i++)
    p[i] = (uint8_t)(i % REC == 0 ? 200 : i % REC == 1 ? i / REC * 5 : i * 31 >> 3);
  write_bytes(in_folder("train.bin"), p, N * REC);
  write_bytes(in_folder("test.bin"), p, N * REC - 1);
  DataSpec spec = spec_of("cifar100", 32);
  Status st;
  Loader *l = loader_open(&spec, folder, B, 1, true, diags, &st);
  ck_assert_ptr_nonnull(l);
  loader_configure(l, true, 1);
  float *image = NEWN(arena, float, B * 3072), *views = NEWN(arena, float, B *V * 3072);
  int64_t label[B];
  void *dst[] = {views, NULL, label, image};
  loader_next(l, dst);
  ck_assert_int_eq(label[3], 15);
  ck_assert_float_eq_tol(image[3072 + 1024], ((float)p[REC + 2 + 1024] / 255 - 0.4822f) / 0.243f, 1e-5);
  for (int i = 0; i < B * V * 3072; i++)
    if (!(fabsf(views[i]) < 2.3f)) ck_abort_msg("pixel %g", (double)views[i]);
  loader_close(l);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, false, diags, &st));
  ck_assert_int_eq(st, ST_FILE);
  expect_error("test.bin", "not a whole number");
  p[5 * REC + 1] = 100;
  write_bytes(in_folder("train.bin"), p, N * REC);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 1, true, diags, &st));
  expect_error("train.bin", "is not below 100");
}
END_TEST

START_TEST(synthetic_data) {
  Setting set[] = {num("views", 2),   num("size", 6),     num("channels", 1), num("action_dim", 3),
                   num("classes", 4), num("features", 5), num("length", 64)};
  DataField f[] = {{"views", DT_F32, {5, {B, 2, 1, 6, 6}}},
                   {"actions", DT_F32, {3, {B, 1, 3}}},
                   {"label", DT_I64, {1, {B}}},
                   {"x", DT_F32, {2, {B, 5}}}};
  DataSpec spec = {.source = "synthetic", .set = set, .nset = 7, .field = f, .nfield = 4};
  Status st;
  float views[2][B * 72], x[2][B * 5];
  int64_t label[2][B];
  double sum = 0, sq = 0;
  int count[4] = {0};
  for (int pass = 0; pass < 2; pass++) {
    Loader *l = loader_open(&spec, NULL, B, 9, true, diags, &st);
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(loader_steps_per_epoch(l), 8);
    loader_configure(l, false, 1 + pass);
    void *dst[] = {views[pass], NULL, label[pass], x[pass]};
    if (pass) loader_seek(l, 40);
    for (int k = pass ? 40 : 0; k <= 40; k++) {
      loader_next(l, dst);
      for (int i = 0; i < B * 72 && !pass; i++) sum += views[0][i], sq += views[0][i] * views[0][i];
      for (int i = 0; i < B && !pass; i++) count[label[0][i]]++;
    }
    loader_close(l);
  }
  ck_assert_mem_eq(views[0], views[1], sizeof views[0]);
  ck_assert_mem_eq(label[0], label[1], sizeof label[0]);
  ck_assert_mem_eq(x[0], x[1], sizeof x[0]);
  int n = 41 * B * 72;
  ck_assert(fabs(sum / n) < 0.03 && fabs(sq / n - 1) < 0.05);
  for (int i = 0; i < 4; i++) ck_assert_int_gt(count[i], 50);
}
END_TEST

START_TEST(installed_fashion_mnist) { /* where the Debian package is installed */
  if (access("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", F_OK)) return;
  DataSpec spec = spec_of("fashion_mnist", 28);
  Status st;
  Loader *l = loader_open(&spec, NULL, B, 1, true, diags, &st);
  ck_assert_ptr_nonnull(l);
  ck_assert_int_eq(loader_size(l), 60000);
  Batch *b = NEW(arena, Batch);
  double sum = 0, sq = 0, n = 0;
  for (int k = 0; k < 100; k++) {
    next(l, b);
    for (int i = 0; i < B * 784; i++, n++) sum += b->image[i], sq += b->image[i] * b->image[i];
  }
  ck_assert(fabs(sum / n) < 0.05 && fabs(sq / n - 1) < 0.05);
  loader_close(l);
}
END_TEST

int main(void) {
  Suite *s = suite_create("data");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, idx_good_files);
  tcase_add_test(t, idx_bad_files);
  tcase_add_test(t, idx_damaged_gzip);
  tcase_add_test(t, rotation_is_counter_clockwise);
  tcase_add_test(t, crop_reads_the_box_it_reports);
  tcase_add_test(t, jitter_and_blur);
  tcase_add_test(t, colour_jitter);
  tcase_add_test(t, resize_like_pillow);
  tcase_add_test(t, bad_augmentations);
  tcase_add_test(t, loader_same_batches_always);
  tcase_add_test(t, loader_epochs_and_values);
  tcase_add_test(t, loader_bad_data);
  tcase_add_test(t, cifar_binary);
  tcase_add_test(t, synthetic_data);
  tcase_add_test(t, installed_fashion_mnist);
  suite_add_tcase(s, t);
  return run_suite(s);
}
