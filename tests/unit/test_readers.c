/* Tests of the readers of data sets in their distributed layouts, made small here: CIFAR-100's archive,
   STL-10, TinyImageNet, folders of pictures; what they read, and what they say of damaged and missing files. */
#include "runtime/data/archive.h"
#include "runtime/data/loader.h"
#include "runtime/data/picture.h"
#include "runtime/file.h"
#include "runtime/png.h"
#include "tests/unit/folder.h"

#include <archive.h>
#include <archive_entry.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_file(const char *name, const void *p, size_t n) {
  char *path = in_folder(name);
  *strrchr(path, '/') = 0;
  ck_assert_int_eq(file_make_folder(path, diags), ST_OK);
  FILE *f = fopen(in_folder(name), "wb");
  ck_assert_ptr_nonnull(f);
  ck_assert_uint_eq(fwrite(p, 1, n, f), n);
  fclose(f);
}

/* ---- specs: a source that offers image and label ---- */
enum { B = 2 };

static Setting num(const char *name, double v) { return (Setting){.name = name, .kind = SET_NUM, .num = v}; }
static Setting word(const char *name, const char *s) {
  return (Setting){.name = name, .kind = SET_STR, .str = s};
}
static Setting list_of(const char *name, Setting kind, int n, const Setting *items) {
  Setting *copy = NEWN(arena, Setting, n + 1);
  if (n) memcpy(copy, items, (size_t)n * sizeof *items);
  kind.name = name;
  kind.item = copy;
  kind.nitem = n;
  return kind;
}
static Setting list(const char *name, int n, const Setting *items) {
  return list_of(name, (Setting){.kind = SET_LIST}, n, items);
}
static Setting call(const char *what, int n, const Setting *items) {
  return list_of("", (Setting){.kind = SET_CALL, .str = what}, n, items);
}

static DataSpec spec_of(const char *source, int channels, int size, int nset, const Setting *settings) {
  DataField *f = NEWN(arena, DataField, 2);
  Setting *set = NEWN(arena, Setting, nset + 3);
  Setting zero[] = {num("", 0), num("", 0), num("", 0)}, one[] = {num("", 1), num("", 1), num("", 1)};
  if (nset) memcpy(set, settings, (size_t)nset * sizeof *set);
  set[nset++] = list("mean", channels, zero); /* pixels come as they are, in 0..1 */
  set[nset++] = list("std", channels, one);
  set[nset++] = num("size", size);
  f[0] = (DataField){"image", DT_F32, {4, {B, channels, size, size}}};
  f[1] = (DataField){"label", DT_I64, {1, {B}}};
  return (DataSpec){.source = source, .set = set, .nset = nset, .field = f, .nfield = 2};
}

static float *image;
static int64_t label[B];

static Loader *open_plain(const DataSpec *s, const char *where, bool train, Status *st) {
  Loader *l = loader_open(s, where, B, 1, train, diags, st);
  if (l) loader_configure(l, true, 2);
  image = NEWN(arena, float, shape_count(&s->field[0].shape));
  return l;
}

static Status next(Loader *l) { return loader_next(l, (void *[]){image, label}); }

static void refused(const DataSpec *s, const char *where, bool train, Status want, const char *a,
                    const char *b) {
  Status st;
  ck_assert_ptr_null(open_plain(s, where, train, &st));
  ck_assert_int_eq(st, want);
  expect_message(a, b);
}

/* ---- cifar100 ---- */
enum { N = 6, RECORD = 3074 };

static uint8_t *cifar_bytes(void) {
  uint8_t *p = NEWN(arena, uint8_t, N *RECORD);
  for (int i = 0; i < N * RECORD; i++)
    p[i] = (uint8_t)(i % RECORD == 0 ? 255 : i % RECORD == 1 ? i / RECORD * 7 : i * 31 >> 3);
  return p;
}

static void write_tar(const char *name, const char *const *member, const uint8_t *p, size_t n) {
  struct archive *a = archive_write_new();
  archive_write_add_filter_gzip(a);
  archive_write_set_format_ustar(a);
  ck_assert_int_eq(archive_write_open_filename(a, in_folder(name)), ARCHIVE_OK);
  for (; *member; member++) {
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, *member);
    archive_entry_set_size(e, (la_int64_t)n);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_write_header(a, e);
    archive_write_data(a, p, n);
    archive_entry_free(e);
  }
  archive_write_close(a);
  archive_write_free(a);
}

START_TEST(cifar_archive) {
  static const char tar[] = "cifar-100-binary.tar.gz";
  const char *const good[] = {"cifar-100-binary/fine_label_names.txt", "cifar-100-binary/test.bin",
                              "cifar-100-binary/train.bin", NULL};
  const char *const climbs[] = {"cifar-100-binary/train.bin", "../../evil", NULL}, *const root[] = {
                                                                                       "/etc/train.bin",
                                                                                       NULL};
  const char *const sly[] = {"cifar-100-binary/../../train.bin", NULL}, *const empty[] = {"readme", NULL};
  DataSpec spec = spec_of("cifar100", 3, 32, 0, NULL);
  uint8_t *p = cifar_bytes();
  refused(&spec, folder, true, ST_FILE, "CIFAR-100 is not in", "cifar-100-binary.tar.gz");
  write_tar(tar, good, p, N * RECORD);
  for (int way = 0; way < 3; way++) { /* the folder, the archive, what is unpacked from it */
    Status st;
    if (way == 2) {
      unlink(in_folder(tar));
      write_file("cifar-100-binary/train.bin", p, N * RECORD);
    }
    Loader *l = open_plain(&spec, way == 1 ? in_folder(tar) : folder, true, &st);
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(loader_size(l), N);
    ck_assert_int_eq(next(l), ST_OK);
    ck_assert(label[0] == 0 && label[1] == 7);
    for (int i = 0; i < 3072; i++) ck_assert_float_eq_tol(image[3072 + i], p[RECORD + 2 + i] / 255.0f, 1e-6);
    loader_close(l);
  }
  unlink(in_folder("cifar-100-binary/train.bin"));
  write_tar(tar, climbs, p, N * RECORD);
  refused(&spec, folder, true, ST_FILE, tar, "../../evil has a path that leads outside");
  write_tar(tar, root, p, N * RECORD);
  refused(&spec, folder, true, ST_FILE, tar, "leads outside");
  write_tar(tar, sly, p, N * RECORD);
  refused(&spec, folder, true, ST_FILE, tar, "leads outside");
  write_tar(tar, empty, p, N * RECORD);
  refused(&spec, folder, true, ST_FILE, tar, "has no member train.bin");
  write_tar(tar, good, p, N * RECORD - 5);
  refused(&spec, folder, true, ST_FILE, tar, "not a whole number of CIFAR-100 records");
  write_tar(tar, good, p, N * RECORD);
  Source *whole = source_read(arena, in_folder(tar));
  for (size_t n = 0; n < whole->len; n += whole->len / 13) {
    write_file(tar, whole->text, n);
    refused(&spec, folder, true, ST_FILE, tar, "");
  }
  char *bent = arena_alloc(arena, whole->len); /* its last eight bytes are a checksum and a length */
  for (size_t at = 1; at <= 8; at++) {
    memcpy(bent, whole->text, whole->len);
    bent[whole->len - at] ^= 1;
    write_file(tar, bent, whole->len);
    refused(&spec, folder, true, ST_FILE, tar, at <= 4 ? "incorrect length check" : "incorrect data check");
  }
  write_file(tar, "hello", 5);
  refused(&spec, folder, true, ST_FILE, tar, "");
}
END_TEST

/* ---- stl10 ---- */
START_TEST(stl_binary) {
  enum { SIDE = 96, BYTES = 3 * SIDE * SIDE, M = 4 };
  uint8_t *x = NEWN(arena, uint8_t, M *BYTES), y[M] = {1, 10, 3, 4};
  for (int i = 0; i < M * BYTES; i++) x[i] = (uint8_t)(i * 2654435761u >> 13);
  write_file("stl10_binary/train_X.bin", x, M * BYTES);
  write_file("stl10_binary/train_y.bin", y, M);
  write_file("stl10_binary/test_X.bin", x, M * BYTES - 1);
  write_file("stl10_binary/unlabeled_X.bin", x, M * BYTES);
  DataSpec spec = spec_of("stl10", 3, SIDE, 0, NULL);
  Setting split = word("split", "unlabeled"), wrong = word("split", "both");
  DataSpec free_ = spec_of("stl10", 3, SIDE, 1, &split), bad = spec_of("stl10", 3, SIDE, 1, &wrong);
  Status st;
  for (int k = 0; k < 2; k++) {
    Loader *l = open_plain(k ? &free_ : &spec, folder, true, &st);
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(next(l), ST_OK);
    ck_assert(label[0] == (k ? -1 : 0) && label[1] == (k ? -1 : 9));
    for (int c = 0; c < 3; c++) /* columns first in the file */
      for (int r = 0; r < SIDE; r++)
        for (int q = 0; q < SIDE; q++)
          ck_assert_float_eq_tol(image[(c * SIDE + r) * SIDE + q], x[(c * SIDE + q) * SIDE + r] / 255.0f,
                                 1e-6);
    loader_close(l);
  }
  refused(&spec, folder, false, ST_FILE, "test_X.bin", "not a whole number of images");
  refused(&bad, folder, true, ST_MODEL, "split", "both");
  y[2] = 11;
  write_file("stl10_binary/train_y.bin", y, M);
  refused(&spec, folder, true, ST_FILE, "train_y.bin", "is not below 10");
  write_file("stl10_binary/train_y.bin", y, M - 1);
  refused(&spec, folder, true, ST_FILE, "holds 4 images", "holds 3 labels");
  unlink(in_folder("stl10_binary/train_X.bin"));
  refused(&spec, folder, true, ST_FILE, "STL-10 is not in", "train_y.bin");
}
END_TEST

/* ---- pictures ---- */
static uint8_t *smooth(int w, int h, int tone) {
  uint8_t *p = NEWN(arena, uint8_t, 3 * w * h);
  for (int i = 0; i < w * h; i++)
    for (int c = 0; c < 3; c++) p[3 * i + c] = (uint8_t)(tone + 40 * c + i % w * 60 / w + i / w * 40 / h);
  return p;
}

static void write_jpeg(const char *name, int w, int h, int tone) {
  uint8_t *data;
  size_t n;
  picture_jpeg(w, h, 95, smooth(w, h, tone), &data, &n);
  write_file(name, data, n);
  free(data);
}

static void make_tiny(void) {
  for (int k = 0; k < 4; k++)
    write_jpeg(arena_printf(arena, "train/n%d/images/n%d_%d.JPEG", k / 2, k / 2, k), 64, 64, 20 * k);
  for (int k = 0; k < 2; k++) write_jpeg(arena_printf(arena, "val/images/val_%d.JPEG", k), 64, 64, 20);
  static const char lines[] = "val_0.JPEG\tn1\t0\t0\t9\t9\nval_1.JPEG\tn0\t0\t0\t9\t9\n";
  write_file("val/val_annotations.txt", lines, strlen(lines));
}

START_TEST(tiny_imagenet) {
  DataSpec spec = spec_of("tinyimagenet", 3, 64, 0, NULL);
  Setting may = num("skip_bad", 1);
  DataSpec skip = spec_of("tinyimagenet", 3, 64, 1, &may);
  Status st;
  refused(&spec, folder, true, ST_FILE, "TinyImageNet is not in", "val_annotations.txt");
  make_tiny();
  Loader *l = open_plain(&spec, folder, true, &st);
  ck_assert_ptr_nonnull(l);
  ck_assert_int_eq(next(l), ST_OK);
  ck_assert_int_eq(next(l), ST_OK);
  ck_assert(label[0] == 1 && label[1] == 1);
  uint8_t *want = smooth(64, 64, 60);
  double off = 0;
  for (int i = 0; i < 3 * 4096; i++)
    off = fmax(off, fabs(image[3 * 4096 + i] * 255 - want[i % 4096 * 3 + i / 4096]));
  ck_assert_msg(off < 6, "%g", off); /* JPEG */
  loader_close(l);
  l = open_plain(&spec, folder, false, &st);
  ck_assert_ptr_nonnull(l);
  ck_assert_int_eq(next(l), ST_OK);
  ck_assert(label[0] == 1 && label[1] == 0);
  loader_close(l);

  const char *victim = "train/n0/images/n0_1.JPEG";
  Source *good = source_read(arena, in_folder(victim));
  const struct {
    size_t keep;
    const char *words;
  } cuts[] = {{0, "neither JPEG nor PNG"},
              {2, "neither"},
              {100, ""},
              {good->len / 2, "Premature end"},
              {good->len - 40, "Premature"}};
  for (size_t i = 0; i <= sizeof cuts / sizeof *cuts; i++) {
    const char *words = "32 x 48 pixels, expected 64 x 64";
    if (i == sizeof cuts / sizeof *cuts) write_jpeg(victim, 32, 48, 0);
    else {
      write_file(victim, good->text, cuts[i].keep);
      words = cuts[i].words;
    }
    l = open_plain(&spec, folder, true, &st);
    ck_assert_int_eq(next(l), ST_FILE);
    loader_close(l);
    expect_message(victim, words);
    l = open_plain(&skip, folder, true, &st);
    ck_assert_int_eq(next(l), ST_OK);
    ck_assert(label[0] == 0 && label[1] == 1); /* the next one in its place */
    loader_close(l);
    expect_message("1 of 4 samples", victim);
  }
  for (int k = 0; k < 4; k++)
    write_file(arena_printf(arena, "train/n%d/images/n%d_%d.JPEG", k / 2, k / 2, k), "x", 1);
  l = open_plain(&skip, folder, true, &st);
  ck_assert_int_eq(next(l), ST_FILE);
  loader_close(l);
  expect_message("none of the samples can be read", "n0_0.JPEG");
  write_file("val/val_annotations.txt", "val_0.JPEG\tn7\t0\n", 16);
  refused(&spec, folder, false, ST_FILE, "val_annotations.txt:1", "n7");
  write_file("val/val_annotations.txt", "val_0.JPEG\tn1\t0\n", 16);
  refused(&spec, folder, false, ST_FILE, "lists 1 images", "holds 2 files");
  unlink(in_folder("train/n1/images/n1_2.JPEG"));
  unlink(in_folder("train/n1/images/n1_3.JPEG"));
  refused(&spec, folder, true, ST_FILE, "train/n1/images", "holds no images");
}
END_TEST

START_TEST(image_folders) {
  Setting set[] = {num("classes", 2), num("load", 20), num("channels", 3)};
  DataSpec spec = spec_of("image_folder", 3, 20, 3, set);
  Status st;
  write_jpeg("train/cat/a.jpg", 90, 60, 10);
  write_jpeg("train/cat/.hidden", 9, 6, 10);
  ck_assert_int_eq(file_make_folder(in_folder("train/dog"), diags), ST_OK);
  refused(&spec, folder, true, ST_FILE, "train/dog", "holds no images");
  ck_assert_int_eq(png_save(in_folder("train/dog/b.png"), 20, 20, 3, smooth(20, 20, 50), diags), ST_OK);
  Loader *l = open_plain(&spec, folder, true, &st);
  ck_assert_ptr_nonnull(l);
  ck_assert_int_eq(next(l), ST_OK);
  ck_assert(label[0] == 0 && label[1] == 1);
  ck_assert_str_eq(loader_class(l, 0), "cat");
  ck_assert_str_eq(loader_class(l, 1), "dog");
  ck_assert_ptr_null(loader_class(l, 2));
  uint8_t *want = smooth(20, 20, 50), *wide = smooth(90, 60, 10);
  for (int i = 0; i < 1200; i++) /* PNG keeps every bit */
    ck_assert_float_eq_tol(image[1200 + i], want[i % 400 * 3 + i / 400] / 255.0f, 1e-6);
  for (int i = 0; i < 1200; i++) { /* the middle 60 x 60 of 90 x 60, a third as large */
    int y = i % 400 / 20 * 3 + 1, x = i % 20 * 3 + 16;
    ck_assert_float_eq_tol(image[i], wide[(y * 90 + x) * 3 + i / 400] / 255.0f, 0.02);
  }
  loader_close(l);
  set[2].num = 1; /* grey, for both formats */
  DataSpec grey = spec_of("image_folder", 1, 20, 3, set);
  l = open_plain(&grey, folder, true, &st);
  ck_assert_ptr_nonnull(l);
  ck_assert_int_eq(next(l), ST_OK);
  ck_assert_float_eq_tol(image[400], (0.299 * want[0] + 0.587 * want[1] + 0.114 * want[2]) / 255, 0.01);
  loader_close(l);
  Source *plain = source_read(arena, in_folder("train/dog/b.png"));
  enum { HEAD = 33 }; /* signature and IHDR; behind them the gamma of 1 / 2.2, which changes no value */
  uint8_t gamma[16] = {0, 0, 0, 4, 'g', 'A', 'M', 'A', 0, 0, 0xb1, 0x8f, 0x0b, 0xfc, 0x61, 0x05};
  uint8_t *file = NEWN(arena, uint8_t, plain->len + sizeof gamma);
  memcpy(file, plain->text, HEAD);
  memcpy(file + HEAD, gamma, sizeof gamma);
  memcpy(file + HEAD + sizeof gamma, plain->text + HEAD, plain->len - HEAD);
  write_file("train/dog/b.png", file, plain->len + sizeof gamma);
  float *stored = image;
  l = open_plain(&grey, folder, true, &st);
  ck_assert_int_eq(next(l), ST_OK);
  for (int i = 0; i < 400; i++) ck_assert_float_eq(image[400 + i], stored[400 + i]);
  loader_close(l);
  refused(&spec, folder, false, ST_FILE, "val", "No such file");
  write_jpeg("val/bird/a.jpg", 20, 20, 10);
  refused(&spec, folder, false, ST_FILE, "class bird", "train does not have");
  set[0].num = set[2].num = 3;
  DataSpec three = spec_of("image_folder", 3, 20, 3, set);
  refused(&three, folder, true, ST_FILE, "holds 2 class folders", "classes = 3");
  Source *png = source_read(arena, in_folder("train/dog/b.png"));
  for (size_t keep = 0; keep < png->len; keep += 37) {
    write_file("train/dog/b.png", png->text, keep);
    l = open_plain(&spec, folder, true, &st);
    ck_assert_int_eq(next(l), ST_FILE);
    loader_close(l);
    expect_message("train/dog/b.png", "");
  }
}
END_TEST

/* `test` of a folder of classes: the same pictures of each are kept back, none is in both parts. */
START_TEST(folder_without_test_part) {
  enum { EACH = 5, N = 3 * EACH };
  Setting set[] = {num("classes", 3), num("test", 0.4)};
  DataSpec spec = spec_of("image_folder", 3, 8, 2, set);
  static const int kept[EACH] = {0, 0, 1, 0, 1};
  bool seen[N] = {0};
  Status st;
  for (int k = 0; k < N; k++) {
    uint8_t one[3 * 64];
    memset(one, 10 * k, sizeof one);
    const char *name = arena_printf(arena, "c%d/%d.png", k / EACH, k % EACH);
    write_file(name, "", 0);
    ck_assert_int_eq(png_save(in_folder(name), 8, 8, 3, one, diags), ST_OK);
  }
  for (int train = 0; train < 2; train++) {
    Loader *l = open_plain(&spec, folder, train, &st);
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(loader_size(l), train ? 9 : 6);
    ck_assert_str_eq(loader_class(l, 2), "c2");
    for (int64_t k = 0; k < loader_size(l) / B * B; k++) {
      if (k % B == 0) ck_assert_int_eq(next(l), ST_OK);
      int sample = (int)lround(image[k % B * 3 * 64] * 25.5);
      ck_assert_int_eq(label[k % B], sample / EACH);
      ck_assert_int_eq(kept[sample % EACH], !train);
      ck_assert(!seen[sample]);
      seen[sample] = true;
    }
    loader_close(l);
  }
  set[1].num = 0.1;
  DataSpec little = spec_of("image_folder", 3, 8, 2, set);
  refused(&little, folder, true, ST_MODEL, "test = 0.1 of the 5 pictures of class c0",
          "leaves no test pictures");
  set[1].num = 0.4;
  set[0].num = 4;
  DataSpec more = spec_of("image_folder", 3, 8, 2, set);
  refused(&more, folder, true, ST_FILE, "holds 3 class folders", "classes = 4");
  ck_assert_int_eq(file_make_folder(in_folder("train"), diags), ST_OK);
  ck_assert_int_eq(file_make_folder(in_folder("val"), diags), ST_OK);
  refused(&spec, folder, true, ST_MODEL, "test = 0.4 of image_folder has no effect", "/val is a test part");
  refused(&spec, NULL, true, ST_FILE, "the image folder is not named", "--data DIR");
}
END_TEST

/* A part of files that lie class by class has all classes. */
START_TEST(part_of_a_folder) {
  enum { EACH = 6, N = 3 * EACH };
  Setting set[] = {num("classes", 3)};
  DataSpec spec = spec_of("image_folder", 3, 8, 1, set);
  static const int64_t want[][3] = {{3, 0, 6}, {6, 0, 3}, {7, 0, 2}, {N, 0, 1}}; /* how many; the first two */
  for (int k = 0; k < N; k++) {
    uint8_t one[3 * 64];
    memset(one, 10 * k, sizeof one);
    const char *name = arena_printf(arena, "train/c%d/%d.png", k / EACH, k % EACH);
    write_file(name, "", 0);
    ck_assert_int_eq(png_save(in_folder(name), 8, 8, 3, one, diags), ST_OK);
  }
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    int count[3] = {0}, before = -1;
    Status st;
    Loader *l = open_plain(&spec, folder, true, &st);
    ck_assert_ptr_nonnull(l);
    loader_take(l, want[i][0]);
    for (int64_t k = 0; k < want[i][0]; k++) {
      if (k % B == 0) ck_assert_int_eq(next(l), ST_OK);
      int sample = (int)lround(image[k % B * 3 * 64] * 25.5);
      ck_assert(sample > before && sample / EACH == label[k % B]);
      if (k < 2) ck_assert_int_eq(sample, want[i][1 + k]);
      before = sample;
      count[label[k % B]]++;
    }
    for (int c = 0; c < 3; c++) ck_assert_int_le(labs(3 * (long)count[c] - (long)want[i][0]), 3);
    loader_close(l);
  }
  /* and the same part in another order in each epoch */
  enum { TAKEN = 2 * B };
  uint32_t order[2][TAKEN], all[2] = {0};
  Status st;
  Loader *l = open_plain(&spec, folder, true, &st);
  loader_configure(l, false, 1);
  loader_take(l, TAKEN);
  for (int epoch = 0; epoch < 2; epoch++) {
    loader_seek(l, epoch * loader_steps_per_epoch(l));
    for (int k = 0; k < TAKEN; k++) {
      if (k % B == 0) ck_assert_int_eq(next(l), ST_OK);
      order[epoch][k] = (uint32_t)lround(image[k % B * 3 * 64] * 25.5);
      all[epoch] |= 1u << order[epoch][k];
    }
  }
  loader_close(l);
  uint32_t right = 0;
  for (int k = 0; k < TAKEN; k++) right |= 1u << (k * N / TAKEN);
  ck_assert_uint_eq(all[0], right);
  ck_assert_uint_eq(all[1], right);
  ck_assert(memcmp(order[0], order[1], sizeof order[0]));
}
END_TEST

/* ---- views of real sources: saccades, another target ---- */
/* An npy file of n ones. */
static void write_maps(const char *name, const char *descr, const char *shape, int64_t n) {
  char text[129];
  int size = descr[2] - '0';
  snprintf(text, sizeof text, "%-117s\n",
           arena_printf(arena, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape));
  char *npy = arena_alloc(arena, 128 + (size_t)(n * size));
  memcpy(npy, "\x93NUMPY\1\0\x76\0", 10);
  memcpy(npy + 10, text, 118);
  for (int64_t i = 0; i < n; i++) {
    double d = 1;
    float f = 1;
    memcpy(npy + 128 + i * size, size == 8 ? (void *)&d : (void *)&f, (size_t)size);
  }
  write_file(name, npy, 128 + (size_t)(n * size));
}

START_TEST(saccades_from_a_source) {
  enum { V = 4, S = 12, M = 4, SIDE = 96 };
  uint8_t *x = NEWN(arena, uint8_t, M * 3 * SIDE * SIDE), y[M] = {1, 2, 3, 4};
  for (int i = 0; i < M * 3 * SIDE * SIDE; i++)
    x[i] = (uint8_t)(i % SIDE + i / SIDE % SIDE); /* row + column */
  write_file("train_X.bin", x, M * 3 * SIDE * SIDE);
  write_file("train_y.bin", y, M);
  char header[128];
  memset(header, ' ', sizeof header);
  memcpy(header, "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (4, 6, 6), }", 69);
  header[127] = '\n';
  static float maps[M][36];
  for (int k = 0; k < M; k++) maps[k][2 * 6 + 3] = maps[k][4 * 6 + 1] = 1; /* two places of 16 x 16 */
  char *npy = arena_alloc(arena, sizeof header + sizeof maps);
  memcpy(npy, header, sizeof header);
  memcpy(npy + sizeof header, maps, sizeof maps);
  write_file("saliency_train.npy", npy, sizeof header + sizeof maps);
  static const char *const ways[] = {"spectral", "uniform", "maps"};
  for (int way = 0; way < 3; way++) {
    Setting args[] = {num("inhibit", 16), word("saliency", ways[way])}, sac = call("saccade", 2, args);
    Setting set[] = {num("views", way == 2 ? 2 : V), list("actions", 1, &sac)};
    int views = way == 2 ? 2 : V;
    DataSpec spec = spec_of("stl10", 3, S, 2, set);
    DataField f[] = {{"views", DT_F32, {5, {B, views, 3, S, S}}},
                     {"actions", DT_F32, {3, {B, views - 1, 2}}},
                     {"params", DT_F32, {3, {B, views, 2}}}};
    spec.field = f;
    spec.nfield = 3;
    static float v[B * V * 3 * S * S], a[B * V * 2], p[B * V * 2];
    Status st;
    Loader *l = loader_open(&spec, folder, B, 5, true, diags, &st);
    ck_assert_msg(l, "%s", ways[way]);
    for (int k = 0; k < 6; k++) {
      ck_assert_int_eq(loader_next(l, (void *[]){v, a, p}), ST_OK);
      for (int i = 0; i < B * views; i++) {
        int row = (int)lround(p[2 * i] * SIDE), col = (int)lround(p[2 * i + 1] * SIDE);
        ck_assert(row >= 0 && row < SIDE && col >= 0 && col < SIDE);
        /* the pixel at S / 2 of the patch is the fixation; planes of the file are stored column by column */
        ck_assert_float_eq_tol(v[(i * 3 * S + S / 2) * S + S / 2], (float)(row + col) / 255, 1e-6);
        if (way == 2) ck_assert((row / 16 == 2 && col / 16 == 3) || (row / 16 == 4 && col / 16 == 1));
        if (i % views == 0) continue;
        const float *act = a + ((i / views) * (views - 1) + i % views - 1) * 2;
        ck_assert_float_eq_tol(act[0], p[2 * i] - p[2 * i - 2], 1e-6);
        ck_assert(hypotf(act[0], act[1]) * SIDE > 16);
      }
    }
    loader_close(l);
  }
  Setting arg = word("saliency", "maps"), sac = call("saccade", 1, &arg),
          set[] = {num("views", 2), list("actions", 1, &sac)};
  DataSpec spec = spec_of("stl10", 3, S, 2, set);
  static const struct {
    float value; /* of one number of map 1 */
    const char *wrong;
  } bad[] = {{-1, "map of image 1 holds a negative number"},
             {NAN, "map of image 1 holds a number that is not finite"},
             {INFINITY, "map of image 1 holds a number that is not finite"},
             {0, "map of image 1 is zero everywhere"}};
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    for (int i = 0; i < 36; i++) maps[1][i] = k == 3 ? 0 : 1;
    maps[1][7] = bad[k].value;
    memcpy(npy + sizeof header, maps, sizeof maps);
    write_file("saliency_train.npy", npy, sizeof header + sizeof maps);
    refused(&spec, folder, true, ST_FILE, "saliency_train.npy", bad[k].wrong);
  }
  static const struct {
    const char *descr, *shape, *wrong;
  } other[] = {{"<f4", "(3, 6, 6)", "holds 3 maps, but there are 4 images"},
               {"<f4", "(4, 36)", "of shape [samples, height, width]"},
               {"<f4", "(4, 2, 6, 3)", "of shape [samples, height, width]"},
               {"<i4", "(4, 6, 6)", "saliency maps are floats"}};
  for (size_t k = 0; k < sizeof other / sizeof *other; k++) {
    write_maps("saliency_train.npy", other[k].descr, other[k].shape, k ? 4 * 36 : 3 * 36);
    refused(&spec, folder, true, ST_FILE, "saliency_train.npy", other[k].wrong);
  }
  unlink(in_folder("saliency_train.npy"));
  refused(&spec, folder, true, ST_FILE, "saliency_train.npy", "No such file");
  /* as the published tool writes them: with an axis of 1, in a folder of the part's name */
  static const char *const good[][2] = {{"<f4", "(4, 1, 6, 6)"}, {"<f8", "(4, 6, 6)"}};
  for (int k = 0; k < 2; k++) {
    mkdir(in_folder("train"), 0777);
    write_maps("train/saliency_train.npy", good[k][0], good[k][1], 4 * 36);
    Status st;
    Loader *l = open_plain(&spec, folder, true, &st);
    ck_assert_msg(l, "%s", good[k][1]);
    loader_close(l);
  }
  unlink(in_folder("train/saliency_train.npy"));
  Setting more[] = {num("views", 2), list("actions", 1, &sac), word("split", "unlabeled")};
  DataSpec unlabeled = spec_of("stl10", 3, S, 3, more); /* other images than those of train */
  write_file("unlabeled_X.bin", x, 3 * 3 * SIDE * SIDE);
  refused(&unlabeled, folder, true, ST_FILE, "saliency_unlabeled.npy", "No such file");
}
END_TEST

/* Parameters as unit vectors over the views, or over as many as are said; actions of what the model is told. */
START_TEST(normalised_and_told) {
  enum { V = 3, A = 8, TOLD = 4 };
  uint8_t *x = cifar_bytes();
  write_file("train.bin", x, N * RECORD);
  for (int unit = V; unit <= 2 * V; unit += V) {
    Setting hidden = num("told", 0), args[] = {num("hue", 0.1), hidden};
    Setting actions[] = {call("crop", 0, NULL), call("jitter", 2, args)};
    Setting set[] = {num("views", V), list("actions", 2, actions), num("normalise", unit)};
    DataSpec spec = spec_of("cifar100", 3, 32, 3, set);
    DataField f[] = {{"actions", DT_F32, {3, {B, V - 1, TOLD}}}, {"params", DT_F32, {3, {B, V, A}}}};
    spec.field = f;
    spec.nfield = 2;
    float a[B][V - 1][TOLD], p[B][V][A];
    Status st;
    Loader *l = loader_open(&spec, folder, B, 5, true, diags, &st);
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(loader_next(l, (void *[]){a, p}), ST_OK);
    for (int b = 0; b < B; b++)
      for (int i = 0; i < A; i++) {
        double sum = 0;
        for (int v = 0; v < V; v++) sum += p[b][v][i] * p[b][v][i];
        ck_assert(sum == 0 || fabs(sum - (double)V / unit) < 1e-5);
        for (int v = 1; v < V && i < TOLD; v++)
          ck_assert_float_eq_tol(a[b][v - 1][i], p[b][v][i] - p[b][v - 1][i], 1e-6);
      }
    loader_close(l);
  }
}
END_TEST

START_TEST(another_target) {
  uint8_t *p = cifar_bytes();
  write_file("train.bin", p, N * RECORD);
  Setting sol[] = {num("p", 1)}, flip[] = {num("p", 0)};
  Setting first = call("flip", 1, flip), last = call("solarize", 1, sol), wide = call("crop", 0, NULL);
  Setting set[] = {num("views", 3), list("actions", 1, &first), list("target", 1, &last)};
  DataSpec spec = spec_of("cifar100", 3, 32, 3, set);
  DataField f[] = {{"views", DT_F32, {5, {B, 3, 3, 32, 32}}}};
  spec.field = f;
  spec.nfield = 1;
  float *v = NEWN(arena, float, B * 3 * 3072);
  Status st;
  Loader *l = loader_open(&spec, folder, B, 5, true, diags, &st);
  ck_assert_ptr_nonnull(l);
  ck_assert_int_eq(loader_next(l, (void *[]){v}), ST_OK);
  for (int i = 0; i < 3072; i++) {
    float x = v[i];
    ck_assert(v[3072 + i] == x);
    ck_assert_float_eq_tol(v[2 * 3072 + i], x >= 0.5f ? 1 - x : x, 1e-6);
  }
  loader_close(l);
  set[2] = list("target", 1, &wide);
  DataSpec bad = spec_of("cifar100", 3, 32, 3, set);
  refused(&bad, folder, true, ST_MODEL, "target", "4 components");
}
END_TEST

/* What numpy.savez writes lies in the mapped file; sizes in 32 bits, in extra fields, and behind a list in 64 bits. */
START_TEST(stored_in_npz) {
  static const char *const file[] = {"a", "c", "d", "b" /* compressed */};
  for (int i = 0; i < 4; i++) {
    MappedFile m;
    const uint8_t *p;
    size_t n;
    char path[64];
    snprintf(path, sizeof path, "tests/fuzz/corpus/npz/%s", file[i]);
    ck_assert_int_eq(file_map(&m, path, diags), ST_OK);
    ck_assert_int_eq(archive_npz_stored(&m, "x", &p, &n), i < 3);
    ck_assert(!archive_npz_stored(&m, "xx", &p, &n));
    if (i < 3) {
      ck_assert(p > m.p && p + n < m.p + m.n);
      ck_assert_uint_eq(n, 152);
      ck_assert(!memcmp(p, "\x93NUMPY", 6));
    }
    file_unmap(&m);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("readers");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, cifar_archive);
  tcase_add_test(t, stl_binary);
  tcase_add_test(t, tiny_imagenet);
  tcase_add_test(t, image_folders);
  tcase_add_test(t, folder_without_test_part);
  tcase_add_test(t, part_of_a_folder);
  tcase_add_test(t, saccades_from_a_source);
  tcase_add_test(t, normalised_and_told);
  tcase_add_test(t, another_target);
  tcase_add_test(t, stored_in_npz);
  suite_add_tcase(s, t);
  return run_suite(s);
}
