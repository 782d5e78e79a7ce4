/* Tests of the augmentations: agreement with torchvision and Pillow on the same parameters
   (tests/fixtures/augment, made by make_augment.py), saliency and fixations, parameters put out, rotations as
   quaternions. Runs in the source tree. */
#define _GNU_SOURCE
#include "runtime/npy.h"
#include "runtime/data/quaternion.h"
#include "runtime/data/saliency.h"
#include "tests/unit/support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Arena *arena;
static Diags *diags;

static void setup(void) {
  arena = arena_new();
  diags = diags_new(arena);
}

static void teardown(void) { arena_free(arena); }

static NpyArray read_array(const char *path) {
  Source *s = source_read(arena, path);
  NpyArray a;
  ck_assert_msg(s, "cannot read %s: tests run in the source tree", path);
  const char *wrong = npy_parse((const uint8_t *)s->text, s->len, &a);
  ck_assert_msg(!wrong, "%s: %s", path, wrong);
  return a;
}

static float *room_for(int channels, int side) { return NEWN(arena, float, pixels_room(channels, side)); }

static Image blank(int c, int h, int w) { return (Image){c, h, w, NEWN(arena, float, c *h *w)}; }

/* ---- agreement ---- */
static void do_crop(const Image *in, const double *p, Filter f, Image *out) {
  pixels_resize(in, (Box){(int)p[0], (int)p[1], (int)p[2], (int)p[3]}, f, out, room_for(in->c, 32));
}
static void op_crop(const Image *in, const double *p, Image *out) { do_crop(in, p, FILTER_BILINEAR, out); }
static void op_crop_bicubic(const Image *in, const double *p, Image *out) {
  do_crop(in, p, FILTER_BICUBIC, out);
}
static void op_rotate(const Image *in, const double *p, Image *out) {
  pixels_rotate(in, p[0] * 3.14159265358979323846 / 180, out);
}
static void op_patch(const Image *in, const double *p, Image *out) {
  pixels_patch(in, (int)p[0], (int)p[1], (int)p[2], out);
}
static void op_flip(Image *m, const double *p) { (void)p, pixels_flip(m); }
static void op_brightness(Image *m, const double *p) { pixels_brightness(m, (float)p[0]); }
static void op_contrast(Image *m, const double *p) { pixels_contrast(m, (float)p[0]); }
static void op_saturation(Image *m, const double *p) { pixels_saturation(m, (float)p[0]); }
static void op_hue(Image *m, const double *p) { pixels_hue(m, (float)p[0]); }
static void op_grey(Image *m, const double *p) { (void)p, pixels_grey(m); }
static void op_solarize(Image *m, const double *p) { pixels_solarize(m, (float)p[0]); }
static void op_blur(Image *m, const double *p) { pixels_blur(m, p[0], (int)p[1], room_for(m->c, 32)); }

static const struct {
  const char *name;
  void (*in_place)(Image *, const double *);
  void (*into)(const Image *, const double *, Image *);
} ops[] = {{"crop", NULL, op_crop},         {"crop_bicubic", NULL, op_crop_bicubic},
           {"rotate", NULL, op_rotate},     {"patch", NULL, op_patch},
           {"flip", op_flip, NULL},         {"brightness", op_brightness, NULL},
           {"contrast", op_contrast, NULL}, {"saturation", op_saturation, NULL},
           {"hue", op_hue, NULL},           {"grey", op_grey, NULL},
           {"solarize", op_solarize, NULL}, {"blur", op_blur, NULL}};
enum { OPS = sizeof ops / sizeof *ops };

static Image stored(const NpyArray *data, const char *place) {
  int64_t at;
  Image m;
  ck_assert_int_eq(sscanf(place, "%ld,%d,%d,%d", &at, &m.c, &m.h, &m.w), 4);
  m.p = NEWN(arena, float, m.c *m.h *m.w);
  for (int i = 0; i < m.c * m.h * m.w; i++) m.p[i] = (float)(npy_number(data, at + i) / 65535);
  return m;
}

START_TEST(like_torchvision) {
  Source *cases = source_read(arena, "tests/fixtures/augment/cases.txt");
  NpyArray data = read_array("tests/fixtures/augment/data.npy");
  int done[OPS] = {0}, exact = 0;
  ck_assert_ptr_nonnull(cases);
  for (char *rest = arena_strdup(arena, cases->text), *line; (line = strsep(&rest, "\n")) && *line;) {
    char op[32], from[64], to[64];
    double p[8] = {0};
    int n =
        sscanf(line, "%31s %63s %63s %lf %lf %lf %lf %lf", op, from, to, &p[0], &p[1], &p[2], &p[3], &p[4]);
    ck_assert_int_ge(n, 3);
    char *pil = strstr(op, ".pil");
    if (pil) *pil = 0;
    int k = 0;
    while (k < OPS && strcmp(ops[k].name, op)) k++;
    ck_assert_msg(k < OPS, "operation %s", op);
    Image in = stored(&data, from), want = stored(&data, to), got = blank(want.c, want.h, want.w);
    if (ops[k].into) ops[k].into(&in, p, &got);
    else {
      memcpy(got.p, in.p, sizeof *in.p * (size_t)(in.c * in.h * in.w));
      ops[k].in_place(&got, p);
    }
    double worst = 0, limit = pil ? 1.001 / 255 : 1e-4;
    for (int i = 0; i < got.c * got.h * got.w; i++) {
      double x = pil ? round(got.p[i] * 255) / 255 : got.p[i]; /* Pillow's are bytes */
      worst = fmax(worst, fabs(x - want.p[i]));
    }
    ck_assert_msg(worst <= limit, "%s: off by %.5f (%.2f/255)", line, worst, worst * 255);
    done[k]++;
    exact += !pil;
  }
  for (int k = 0; k < OPS; k++) ck_assert_msg(done[k] > 0, "no case of %s", ops[k].name);
  ck_assert_int_ge(exact, 50);
}
END_TEST

START_TEST(like_scipy_rotations) {
  bool positive = !_i;
  NpyArray a = read_array(positive ? "tests/fixtures/augment/quaternions.npy"
                                   : "tests/fixtures/augment/quaternions_free.npy");
  ck_assert(a.shape.rank == 2 && a.shape.dim[1] == 14);
  for (int64_t i = 0; i < a.shape.dim[0]; i++) {
    double x[14], p[4], q[4], rel[4];
    for (int k = 0; k < 14; k++) x[k] = npy_number(&a, i * 14 + k);
    quaternion_of_euler(x, positive, q);
    quaternion_of_euler(x + 3, positive, p);
    quaternion_between(p, q, positive, rel);
    for (int k = 0; k < 4; k++) {
      ck_assert_double_eq_tol(q[k], x[6 + k], 1e-12);
      ck_assert_double_eq_tol(rel[k], x[10 + k], 1e-12);
    }
    double v[3] = {0.3, -1, 2}, ab[3], b[3]; /* P (P^-1 Q) v = Q v */
    quaternion_rotate(rel, v, ab);
    quaternion_rotate(p, ab, ab);
    quaternion_rotate(q, v, b);
    for (int k = 0; k < 3; k++) ck_assert_double_eq_tol(ab[k], b[k], 1e-12);
  }
}
END_TEST

/* ---- parameters ---- */
static Setting num(const char *name, double v) { return (Setting){.name = name, .kind = SET_NUM, .num = v}; }
static Setting range(const char *name, double lo, double hi) {
  return (Setting){.name = name, .kind = SET_RANGE, .num = lo, .hi = hi};
}
static Setting word(const char *name, const char *s) {
  return (Setting){.name = name, .kind = SET_STR, .str = s};
}
static Setting call(const char *name, int n, const Setting *args) {
  Setting *copy = NEWN(arena, Setting, n + 1);
  if (n) memcpy(copy, args, (size_t)n * sizeof *args);
  return (Setting){.name = "", .kind = SET_CALL, .str = name, .item = copy, .nitem = n};
}
static Setting list(int n, const Setting *items) {
  Setting s = call("", n, items);
  s.kind = SET_LIST;
  return s;
}

static Image waves(int c, int h, int w) {
  Image m = blank(c, h, w);
  for (int i = 0; i < c * h * w; i++)
    m.p[i] = (float)(0.5 + 0.3 * sin(i % w * 0.3 + i / w * 0.17 + i / (h * w)) + 0.15 * cos(i * 1.7));
  return m;
}

/* The view is what the operations of pixels.h make of the image with the parameters put out. */
START_TEST(parameters_are_those_used) {
  Setting crop[] = {range("scale", 0.3, 0.8), word("filter", "bicubic")}, flip[] = {num("action", 1)};
  Setting jitter[] = {num("brightness", 0.4), num("contrast", 0.4), num("saturation", 0.2), num("hue", 0.1),
                      num("p", 0.7)};
  Setting sol[] = {num("threshold", 0.6), num("p", 0.5), num("action", 1)},
          grey[] = {num("p", 0.5), num("action", 1)};
  Setting blur[] = {range("sigma", 0.2, 1.5), num("kernel", 5), num("p", 0.5)};
  Setting items[] = {call("crop", 2, crop),    call("flip", 1, flip), call("jitter", 5, jitter),
                     call("solarize", 3, sol), call("grey", 2, grey), call("blur", 3, blur)};
  Setting l = list(6, items);
  Augmenter g;
  ck_assert_int_eq(augmenter_init(&g, &l, 3, 30, 40, 24, diags), ST_OK);
  ck_assert_int_eq(g.components, 4 + 1 + 4 + 1 + 1 + 1);
  Image in = waves(3, 30, 40), view = blank(3, 24, 24), want = blank(3, 24, 24);
  float *room = NEWN(arena, float, augment_room(&g)), *work = room_for(3, 40);
  int flips = 0, plain = 0, greys = 0, blurs = 0, solars = 0;
  for (uint32_t i = 0; i < 60; i++) {
    double u[12];
    Rng r = rng_stream(3, i, 0, 0);
    augment_view(&g, &r, in.p, (Fixation){0, 0}, view.p, u, room);
    Box b = {(int)lround(u[0] * 30), (int)lround(u[1] * 40), (int)lround(u[2] * 30), (int)lround(u[3] * 40)};
    pixels_resize(&in, b, FILTER_BICUBIC, &want, work);
    if (u[4] > 0) flips++, pixels_flip(&want);
    if (u[5] == 1 && u[6] == 1 && u[7] == 1 && u[8] == 0) plain++;
    else {
      pixels_brightness(&want, (float)u[5]);
      pixels_contrast(&want, (float)u[6]);
      pixels_saturation(&want, (float)u[7]);
      pixels_hue(&want, (float)u[8]);
    }
    if (u[9] > 0) solars++, pixels_solarize(&want, 0.6f);
    if (u[10] > 0) greys++, pixels_grey(&want);
    if (u[11] > 0) blurs++, pixels_blur(&want, u[11], 5, work);
    for (int k = 0; k < 3 * 24 * 24; k++) ck_assert_float_eq_tol(view.p[k], want.p[k], 1e-6);
  }
  ck_assert(flips > 15 && flips < 45 && plain > 5 && plain < 35 && greys > 15 && greys < 45);
  ck_assert(blurs > 15 && blurs < 45 && solars > 15 && solars < 45);
  flip[0].num = 0; /* no component, the same views */
  items[1] = call("flip", 1, flip);
  l = list(6, items);
  ck_assert_int_eq(augmenter_init(&g, &l, 3, 30, 40, 24, diags), ST_OK);
  ck_assert_int_eq(g.components, 11);
}
END_TEST

START_TEST(bad_arguments) {
  const struct {
    const char *name;
    Setting arg;
  } bad[] = {
      {"crop", word("filter", "cubic")},  {"crop", range("scale", 0, 1)}, {"blur", num("kernel", 4)},
      {"jitter", num("hue", 0.6)},        {"flip", num("p", 1.5)},        {"grey", num("p", -1)},
      {"saccade", word("saliency", "?")}, {"saccade", num("patch", -3)},  {"rotate", range("degrees", 3, 2)}};
  Augmenter g;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Setting c = call(bad[i].name, 1, &bad[i].arg), l = list(1, &c);
    diags = diags_new(arena); /* of errors at one place the first is told */
    ck_assert_msg(augmenter_init(&g, &l, 3, 8, 8, 8, diags) == ST_MODEL, "%s", bad[i].name);
    ck_assert_int_eq(diags_errors(diags), 1);
  }
  Setting two[] = {call("flip", 0, NULL), call("saccade", 0, NULL)}, l = list(2, two);
  ck_assert_int_eq(augmenter_init(&g, &l, 3, 8, 8, 8, diags), ST_MODEL);
}
END_TEST

/* ---- saccades ---- */
/* A disc on a textured ground is what stands out; for both sizes of the spectrum. */
START_TEST(saliency_finds_the_odd_one) {
  for (int side = 28; side <= 96; side += 68) {
    int channels = side == 28 ? 1 : 3, cy = side / 4, cx = 3 * side / 4, plane = side * side;
    Image in = blank(channels, side, side);
    for (int i = 0; i < channels * plane; i++) {
      int y = i % plane / side, x = i % side;
      bool disc = (y - cy) * (y - cy) + (x - cx) * (x - cx) < side * side / 200;
      in.p[i] = disc ? 1 : (float)(0.35 + 0.1 * sin(0.8 * x + 0.4 * y));
    }
    float *map = NEWN(arena, float, plane), *room = NEWN(arena, float, saliency_room(channels, side, side));
    saliency_spectral(&in, map, room);
    double near = 0, all = 0;
    int area = 0;
    for (int i = 0; i < plane; i++) {
      ck_assert(map[i] >= 0 && isfinite(map[i]));
      int dy = i / side - cy, dx = i % side - cx;
      all += map[i];
      if (dy * dy + dx * dx < side * side / 50) near += map[i], area++;
    }
    ck_assert_msg(near / all > 3.0 * area / plane, "%d: %g of the saliency on %g of the area", side,
                  near / all, (double)area / plane);
  }
}
END_TEST

START_TEST(fixations_follow_the_map) {
  enum { H = 20, W = 30, N = 4, TIMES = 2000 };
  float map[H * W];
  int count[3] = {0};
  for (uint32_t t = 0; t < TIMES; t++) {
    Fixation f[N];
    memset(map, 0, sizeof map);
    map[3 * W + 4] = 1, map[15 * W + 25] = 2, map[3 * W + 6] = 1; /* the first and third are close */
    Rng r = rng_stream(1, t, 0, 0);
    saliency_fixations(&r, map, H, W, 5, false, N, f);
    int first = f[0].y * W + f[0].x, second = f[1].y * W + f[1].x;
    count[0] += first == 3 * W + 4, count[1] += first == 15 * W + 25, count[2] += first == 3 * W + 6;
    if (first == 15 * W + 25) ck_assert(second == 3 * W + 4 || second == 3 * W + 6);
    else ck_assert_int_eq(second, 15 * W + 25);
    for (int a = 0; a < N; a++)
      for (int b = 0; b < a; b++)
        ck_assert_int_gt((f[a].y - f[b].y) * (f[a].y - f[b].y) + (f[a].x - f[b].x) * (f[a].x - f[b].x), 25);
  }
  ck_assert_int_eq(count[0] + count[1] + count[2], TIMES);
  ck_assert(abs(count[0] - TIMES / 4) < 90 && abs(count[1] - TIMES / 2) < 90 &&
            abs(count[2] - TIMES / 4) < 90);
  for (int i = 0; i < H * W; i++) map[i] = 1; /* inhibition of everything: still N fixations */
  Fixation f[N];
  Rng r = rng_stream(1, 0, 0, 0);
  saliency_fixations(&r, map, H, W, 1000, false, N, f);
  for (int a = 0; a < N; a++) ck_assert(f[a].y >= 0 && f[a].y < H && f[a].x >= 0 && f[a].x < W);
  /* a square: the corner is inhibited, which a circle leaves; one pixel further is not */
  for (int square = 0; square < 2; square++)
    for (int far = 5; far < 7; far++) {
      memset(map, 0, sizeof map);
      map[9 * W + 9] = 1, map[(9 + far) * W + 9 + far] = 1e-9f, map[9 * W + 29] = 1e-12f;
      r = rng_stream(1, 0, 0, 0);
      saliency_fixations(&r, map, H, W, 5, square, 2, f);
      ck_assert_int_eq(f[1].x, square && far == 5 ? 29 : 9 + far);
    }
}
END_TEST

/* In random order jitter gives other pictures for the same numbers, in the fixed one the same. */
START_TEST(jitter_in_random_order) {
  enum { S = 6, VIEWS = 40 };
  float image[3 * S * S], view[2][3 * S * S];
  double u[2][4];
  int differ = 0;
  for (int i = 0; i < 3 * S * S; i++) image[i] = (float)(i * 37 % 101) / 101;
  for (uint32_t k = 0; k < VIEWS; k++) {
    for (int random = 0; random < 2; random++) {
      Setting args[] = {num("hue", 0.1), word("order", random ? "random" : "fixed")};
      Setting call = {.kind = SET_CALL, .str = "jitter", .nitem = 2, .item = args};
      Setting list = {.kind = SET_LIST, .nitem = 1, .item = &call};
      Augmenter g;
      ck_assert_int_eq(augmenter_init(&g, &list, 3, S, S, S, diags), ST_OK);
      Rng r = rng_stream(3, k, 0, 0);
      augment_view(&g, &r, image, (Fixation){0, 0}, view[random], u[random],
                   NEWN(arena, float, augment_room(&g)));
    }
    ck_assert(!memcmp(u[0], u[1], sizeof u[0]));
    differ += memcmp(view[0], view[1], sizeof view[0]) != 0;
  }
  ck_assert_int_ge(differ, VIEWS / 2);
}
END_TEST

START_TEST(arrays_of_all_kinds) {
  static const struct {
    const char *header, *data;
    size_t n;
    const char *wrong; /* in the message; NULL: good */
    double second;
    const char *text;
  } cases[] = {
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", "\1\0\xfe\xff", 4, NULL, -2, NULL},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1), }", "\1\xfe", 2, NULL, 254, NULL},
      {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xf8\x3f",
       16, NULL, 1.5, NULL},
      {"{'descr': '|S3', 'fortran_order': False, 'shape': (2,), }", "abcde\0", 6, NULL, 0, "de"},
      {"{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", "a\0\0\0b\0\0\0\xe9\0\0\0\0\0\0\0", 16,
       NULL, 0, "\xc3\xa9"},
      {"{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", "\0\1\0\2", 4, "little-endian", 0, NULL},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "\0\1\0\2", 4, "Python objects", 0, NULL},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }", "\1\0\2\0", 4, "shorter", 0, NULL},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (1,), }", "\1\0\2\0", 4, "longer", 0, NULL},
      {"{'descr': '<i2', 'fortran_order': True, 'shape': (2,), }", "\1\0\2\0", 4, "Fortran", 0, NULL},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999, 99999999999), }", "", 0, "overflows",
       0, NULL},
      {"{'descr': '<i2'}", "\1\0\2\0", 4, "lacks", 0, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t h = strlen(cases[i].header), n = 10 + h + cases[i].n;
    uint8_t *p = malloc(n); /* exactly: a read beyond is found */
    memcpy(p, "\x93NUMPY\1\0", 8);
    p[8] = (uint8_t)h, p[9] = 0;
    memcpy(p + 10, cases[i].header, h);
    memcpy(p + 10 + h, cases[i].data, cases[i].n);
    NpyArray a;
    const char *wrong = npy_parse(p, n, &a);
    ck_assert_msg(!wrong == !cases[i].wrong && (!wrong || strstr(wrong, cases[i].wrong)), "case %zu: %s", i,
                  wrong);
    if (!wrong) {
      char text[16];
      ck_assert_int_eq(a.count, 2);
      ck_assert_int_eq(npy_text(&a, 1, text, sizeof text), cases[i].text != NULL);
      if (cases[i].text) ck_assert_str_eq(text, cases[i].text);
      else ck_assert_double_eq(npy_number(&a, 1), cases[i].second);
      for (size_t k = 0; k < n; k++) ck_assert_ptr_nonnull(npy_parse(p, k, &a)); /* truncated anywhere */
    }
    free(p);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("augment");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, like_torchvision);
  tcase_add_loop_test(t, like_scipy_rotations, 0, 2);
  tcase_add_test(t, parameters_are_those_used);
  tcase_add_test(t, bad_arguments);
  tcase_add_test(t, saliency_finds_the_odd_one);
  tcase_add_test(t, fixations_follow_the_map);
  tcase_add_test(t, jitter_in_random_order);
  tcase_add_test(t, arrays_of_all_kinds);
  suite_add_tcase(s, t);
  return run_suite(s);
}
