/* Tests of what the runtime writes and reads: tensor files, logs, pictures. */
#include "runtime/npy.h"
#include "runtime/file.h"
#include "runtime/metrics.h"
#include "runtime/png.h"
#include "runtime/safetensors.h"
#include "tests/unit/folder.h"

#include <dirent.h>
#include <math.h>
#include <png.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int files_in_folder(void) {
  int n = 0;
  DIR *d = opendir(folder);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

static char *read_text(const char *path) {
  Source *s = source_read(arena, path);
  ck_assert_ptr_nonnull(s);
  return (char *)(uintptr_t)s->text;
}

/* ---- safetensors ---- */
START_TEST(safetensors_round_trip) {
  float f[6] = {1, -2, 3.5f, NAN, INFINITY, -0.0f};
  double g = 1e300;
  int64_t i8 = -5;
  uint8_t b[3] = {1, 0, 1};
  uint16_t h[2] = {0x3f80, 0xc000};
  StTensor t[] = {{"layer.weight \"x\" \xc3\xa9", DT_F32, {2, {2, 3}}, f, 24},
                  {"flag", DT_BOOL, {1, {3}}, b, 3}, /* leaves what follows unaligned */
                  {"d", DT_F64, {0, {0}}, &g, 8},
                  {"steps", DT_I64, {0, {0}}, &i8, 8},
                  {"half", DT_BF16, {1, {2}}, h, 4},
                  {"empty", DT_F32, {2, {0, 4}}, f, 0}};
  StMeta m[] = {{"run", "{\"a\": \"line\\nbreak\"}"}, {"k", "v"}};
  char *path = in_folder("t.safetensors");
  ck_assert_int_eq(st_write(path, t, 6, m, 2, diags), ST_OK);
  StFile *s = st_open(path, diags);
  ck_assert_ptr_nonnull(s);
  ck_assert_int_eq(st_count(s), 6);
  for (int k = 0; k < 6; k++) {
    const StTensor *x = st_find(s, t[k].name);
    ck_assert_ptr_nonnull(x);
    ck_assert(x->dt == t[k].dt && shape_eq(&x->shape, &t[k].shape) && x->bytes == t[k].bytes);
    if (x->bytes) ck_assert_mem_eq(x->data, t[k].data, (size_t)x->bytes);
    ck_assert_uint_eq((uintptr_t)x->data % (uintptr_t)dtype_size(x->dt), 0);
  }
  ck_assert_str_eq(st_meta(s, "run"), m[0].value);
  ck_assert_ptr_null(st_meta(s, "none"));
  ck_assert_ptr_null(st_find(s, "none"));
  st_close(s);
  ck_assert_int_eq(files_in_folder(), 1);
  /* every truncation is noticed */
  char *text = read_text(path);
  struct stat st;
  ck_assert_int_eq(stat(path, &st), 0);
  for (off_t n = 0; n < st.st_size; n++) {
    write_bytes(in_folder("cut"), text, (size_t)n);
    ck_assert_ptr_null(st_open(in_folder("cut"), diags));
    expect_error("cut", "");
  }
}
END_TEST

/* A file with this header and so many zero bytes of data. */
static char *st_file(const char *header, size_t ndata) {
  size_t n = strlen(header);
  char *p = arena_alloc(arena, 8 + n + ndata), *path = in_folder("bad.safetensors");
  for (int i = 0; i < 8; i++) p[i] = (char)(n >> (8 * i));
  memcpy(p + 8, header, n);
  write_bytes(path, p, 8 + n + ndata);
  return path;
}

START_TEST(safetensors_keeps_types) {
  char *path = st_file("{\"h\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[0,10]},"
                       "\"u\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[10,12]}}   ",
                       0);
  static const uint16_t h[] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x7bff};
  FILE *f = fopen(path, "ab");
  fwrite(h, 2, 5, f);
  fwrite("\xff\x07", 1, 2, f);
  fclose(f);
  StFile *s = st_open(path, diags);
  ck_assert_ptr_nonnull(s);
  ck_assert(st_find(s, "h")->dt == DT_F16 && st_find(s, "u")->dt == DT_U8);
  ck_assert_mem_eq(st_find(s, "h")->data, h, sizeof h);
  ck_assert_mem_eq(st_find(s, "u")->data, "\xff\x07", 2);
  st_close(s);
}
END_TEST

static const struct {
  const char *header, *a, *b;
  size_t ndata;
} bad_headers[] = {
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "w", "truncated", 7},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "2 bytes after", "", 10},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "tensor w", "needs 12 bytes", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "tensor w", "out of order", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "tensor w", "out of order", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", "tensor w",
     "truncated", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,99223372036854775807]}}", "too big", "", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", "tensor w",
     "overflows", 8},
    {"{\"w\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", "tensor w",
     "overflows", 0},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "tensor w", "not a size", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", "tensor w",
     "9 dimensions", 8},
    {"{\"w\":{\"dtype\":\"Q4\",\"shape\":[2],\"data_offsets\":[0,8]}}", "tensor w", "Q4", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"v\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[2,6]}}",
     "overlap", "v", 6},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"v\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[8,12]}}",
     "belong to no tensor", "v", 12},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"w\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[4,8]}}",
     "duplicate", "w", 8},
    {"{\"w\":[1,2]}", "tensor w", "expected an object", 0},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "tensor w", "not a list", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", "tensor w", "not a size", 8},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "tensor w", "[begin, end]", 8},
    {"{\"w\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]}", "bad safetensors header", "", 1},
    {"{\"__metadata__\":{\"a\":1}}", "metadata", "not text", 0},
    {"[1]", "bad safetensors header", "{", 0},
    {"", "bad safetensors header", "", 4},
};

START_TEST(safetensors_bad_header) {
  char *path = st_file(bad_headers[_i].header, bad_headers[_i].ndata);
  ck_assert_ptr_null(st_open(path, diags));
  expect_error(bad_headers[_i].a, bad_headers[_i].b);
}
END_TEST

START_TEST(safetensors_bad_file) {
  static const unsigned char huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
  write_bytes(in_folder("huge"), huge, sizeof huge);
  ck_assert_ptr_null(st_open(in_folder("huge"), diags));
  expect_error("huge", "header claims");
  ck_assert_ptr_null(st_open(in_folder("none"), diags));
  expect_error("none", "No such file");
  ck_assert_ptr_null(st_open(folder, diags));
  expect_error(folder, "directory");
}
END_TEST

START_TEST(files_appear_whole_or_not_at_all) {
  float *big = NEWN(arena, float, 100000);
  StTensor t = {"big", DT_F32, {1, {100000}}, big, 400000};
  char *path = in_folder("x.safetensors");
  ck_assert_int_eq(st_write(path, &t, 1, NULL, 0, diags), ST_OK);
  char *before = read_text(path);
  big[5] = 1;
  signal(SIGXFSZ, SIG_IGN); /* as jepac does: a full disk is an error, not the end of the process */
  struct rlimit old, low;
  getrlimit(RLIMIT_FSIZE, &old);
  low = (struct rlimit){100000, old.rlim_max};
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
  Status st = st_write(path, &t, 1, NULL, 0, diags);
  setrlimit(RLIMIT_FSIZE, &old);
  ck_assert_int_eq(st, ST_FILE);
  expect_error("x.safetensors", "File too large");
  ck_assert_int_eq(files_in_folder(), 1);
  struct stat s;
  ck_assert_int_eq(stat(path, &s), 0);
  ck_assert_mem_eq(read_text(path), before, (size_t)s.st_size);
  ck_assert_int_eq(st_write(in_folder("no/such/x"), &t, 1, NULL, 0, diags), ST_FILE);
  expect_error("no/such/x", "No such file");
  ck_assert_int_eq(st_write("/dev/full", &t, 1, NULL, 0, diags), ST_FILE);
  expect_error("/dev/full", "No space left");
  ck_assert_int_eq(st_write("/dev/null", &t, 1, NULL, 0, diags), ST_OK);
  ck_assert_int_eq(stat("/dev/null", &s), 0);
  ck_assert(S_ISCHR(s.st_mode));
  ck_assert_int_eq(st_write("/proc/x.safetensors", &t, 1, NULL, 0, diags),
                   ST_FILE); /* unwritable even for root */
  expect_error("/proc/x.safetensors", "cannot write");
  ck_assert_int_eq(file_make_folder(in_folder("a/b/c"), diags), ST_OK);
  ck_assert_int_eq(file_make_folder(in_folder("a/b/c/"), diags), ST_OK);
  ck_assert_int_eq(file_make_folder(in_folder("x.safetensors/b"), diags), ST_FILE);
  expect_error("x.safetensors/b", "Not a directory");
}
END_TEST

START_TEST(npy_round_trip) {
  double x[] = {1, 2, 3, 4, 5, 6};
  static const Shape shapes[] = {{0, {0}}, {1, {6}}, {2, {2, 3}}, {3, {1, 6, 1}}};
  for (int i = 4; i < 4 * DT_COUNT; i++) {
    Shape s = shapes[i % 4];
    DType dt = (DType)(i / 4);
    if (!npy_holds(dt)) continue;
    StTensor t = {"", dt, s, x, shape_count(&s) * dtype_size(dt)}, back;
    char *path = in_folder("x.npy");
    ck_assert_int_eq(npy_write(path, &t, diags), ST_OK);
    ck_assert_int_eq(npy_read(path, &back, arena, diags), ST_OK);
    ck_assert(back.dt == dt && shape_eq(&back.shape, &s) && back.bytes == t.bytes);
    ck_assert_mem_eq(back.data, x, (size_t)t.bytes);
  }
  StTensor b = {"", DT_BF16, {0, {0}}, x, 2};
  ck_assert_int_eq(npy_write(in_folder("b.npy"), &b, diags), ST_FILE);
  expect_error("b.npy", "bf16");
}
END_TEST

static const struct {
  const char *header, *word;
  size_t ndata;
} bad_npy[] = {
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", "truncated", 11},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", "longer", 13},
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (3,), }\n", "Fortran", 12},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }\n", "little-endian", 12},
    {"{'descr': '<U2', 'fortran_order': False, 'shape': (3,), }\n", "text", 24},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }\n", "not a list", 12},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3", "not a list", 12},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296), }\n",
     "overflows", 12},
    {"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }\n", "overflows", 12},
    {"{'shape': (3,)}", "lacks", 12},
};

START_TEST(npy_bad_file) {
  size_t n = strlen(bad_npy[_i].header);
  char *p = arena_alloc(arena, 10 + n + bad_npy[_i].ndata);
  memcpy(p, "\x93NUMPY\x01\x00", 8);
  p[8] = (char)n;
  memcpy(p + 10, bad_npy[_i].header, n);
  write_bytes(in_folder("b.npy"), p, 10 + n + bad_npy[_i].ndata);
  StTensor t;
  ck_assert_int_eq(npy_read(in_folder("b.npy"), &t, arena, diags), ST_FILE);
  expect_error("b.npy", bad_npy[_i].word);
  write_bytes(in_folder("b.npy"), p, 9);
  ck_assert_int_eq(npy_read(in_folder("b.npy"), &t, arena, diags), ST_FILE);
  expect_error("b.npy", "no npy file");
}
END_TEST

/* ---- logs ---- */
START_TEST(run_log_resumes) {
  char *path = in_folder("run.jsonl");
  Setting sc = {.name = "scale", .kind = SET_RANGE, .num = 0.25, .hi = 1};
  Setting call = {.name = "", .kind = SET_CALL, .str = "crop", .item = &sc, .nitem = 1};
  Setting set[] = {{.name = "actions", .kind = SET_LIST, .item = &call, .nitem = 1},
                   {.name = "lr", .kind = SET_NUM, .num = 0.5}};
  Recipe r = {.model = "M",
              .data = {.source = "synthetic", .set = set, .nset = 2},
              .batch = 32,
              .epochs = 2,
              .seed = 1,
              .set = set + 1,
              .nset = 1};
  char *recipe = recipe_json(&r);
  ck_assert_ptr_nonnull(strstr(recipe, "\"actions\":[{\"crop\":{\"scale\":[0.25,1]}}]"));
  RunLog *log = runlog_open(path, recipe, -1, true, diags);
  ck_assert_ptr_nonnull(log);
  for (int i = 1; i <= 5; i++) {
    Metric m[] = {{"loss", i == 3 ? NAN : 1.0 / i}, {"peak_bytes", 1e12}};
    ck_assert_int_eq(runlog_record(log, i * 10, m, 2, diags), ST_OK);
  }
  runlog_close(log);
  FILE *f = fopen(path, "ab");
  fputs("{\"step\": 60, \"lo", f);
  fclose(f);
  log = runlog_open(path, recipe, 30, true, diags);
  ck_assert_ptr_nonnull(log);
  Metric m = {"loss", 7};
  ck_assert_int_eq(runlog_record(log, 31, &m, 1, diags), ST_OK);
  runlog_close(log);
  char *want = arena_printf(arena,
                            "{\"recipe\": %s}\n{\"step\": 10, \"loss\": 1, \"peak_bytes\": 1000000000000}\n"
                            "{\"step\": 20, \"loss\": 0.5, \"peak_bytes\": 1000000000000}\n"
                            "{\"step\": 30, \"loss\": null, \"peak_bytes\": 1000000000000}\n"
                            "{\"step\": 31, \"loss\": 7}\n",
                            recipe);
  ck_assert_str_eq(read_text(path), want);
  write_bytes(path, "hello\n", 6);
  ck_assert_ptr_null(runlog_open(path, recipe, 30, true, diags));
  expect_error("run.jsonl", "not a recipe");
  ck_assert_str_eq(read_text(path), "hello\n");
  ck_assert_ptr_null(runlog_open(in_folder("no/run.jsonl"), recipe, -1, true, diags));
  expect_error("no/run.jsonl", "No such file");
  log = runlog_open("/dev/full", recipe, -1, true, diags);
  ck_assert_ptr_null(log);
  expect_error("/dev/full", "No space");
  free(recipe);
}
END_TEST

static int count_of(const char *s, const char *what) {
  int n = 0;
  while ((s = strstr(s, what))) n++, s++;
  return n;
}

START_TEST(progress_rates) {
  for (int mode = 0; mode < 4; mode++) {
    char *text;
    size_t n;
    FILE *f = tmpfile();
    Progress *p = progress_new((ProgressMode)mode, f, 0, 2000, 64); /* AUTO: a file is no terminal */
    for (int i = 1; i <= 2000; i++) progress_update_at(p, 100 + i * 0.01, i, 2.0);
    progress_free(p);
    n = (size_t)ftell(f);
    rewind(f);
    text = arena_alloc(arena, n + 1);
    ck_assert_uint_eq(fread(text, 1, n, f), n);
    fclose(f);
    if (mode == PROGRESS_NONE) {
      ck_assert_uint_eq(n, 0);
    } else if (mode == PROGRESS_BAR) {
      ck_assert_int_eq(count_of(text, "\n"), 1);
      ck_assert(count_of(text, "\r") > 150 && count_of(text, "\r") < 205);
      ck_assert_ptr_nonnull(strstr(text, "100%"));
      ck_assert_ptr_nonnull(strstr(text, "6400 images/s"));
    } else {
      ck_assert(count_of(text, "\n") >= 9 && count_of(text, "\n") <= 20);
      ck_assert_ptr_nonnull(strstr(text, "step 2000/2000  loss 2  6400 images/s  took 0:20"));
      ck_assert_ptr_nonnull(strstr(text, "left 0:1"));
    }
  }
}
END_TEST

/* ---- pictures ---- */
START_TEST(png_round_trip) {
  for (int c = 1; c <= 3; c += 2) {
    uint8_t px[7 * 5 * 3], back[7 * 5 * 3];
    for (int i = 0; i < 7 * 5 * c; i++) px[i] = (uint8_t)(i * 37);
    ck_assert_int_eq(png_save(in_folder("x.png"), 7, 5, c, px, diags), ST_OK);
    png_image im = {.version = PNG_IMAGE_VERSION};
    ck_assert(png_image_begin_read_from_file(&im, in_folder("x.png")));
    ck_assert(im.width == 7 && im.height == 5);
    im.format = c == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    ck_assert(png_image_finish_read(&im, NULL, back, 0, NULL));
    ck_assert_mem_eq(px, back, (size_t)(7 * 5 * c));
  }
  uint8_t *big = arena_alloc(arena, 300 * 300);
  for (int i = 0; i < 300 * 300; i++) big[i] = (uint8_t)((unsigned)i * 2654435761u >> 13);
  ck_assert_int_eq(png_save("/dev/full", 300, 300, 1, big, diags), ST_FILE);
  expect_error("/dev/full", "");
}
END_TEST

int main(void) {
  Suite *s = suite_create("files");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, safetensors_round_trip);
  tcase_add_test(t, safetensors_keeps_types);
  tcase_add_loop_test(t, safetensors_bad_header, 0, (int)(sizeof bad_headers / sizeof *bad_headers));
  tcase_add_test(t, safetensors_bad_file);
  tcase_add_test(t, files_appear_whole_or_not_at_all);
  tcase_add_test(t, npy_round_trip);
  tcase_add_loop_test(t, npy_bad_file, 0, (int)(sizeof bad_npy / sizeof *bad_npy));
  tcase_add_test(t, run_log_resumes);
  tcase_add_test(t, progress_rates);
  tcase_add_test(t, png_round_trip);
  suite_add_tcase(s, t);
  return run_suite(s);
}
