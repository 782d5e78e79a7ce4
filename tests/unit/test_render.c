/* Tests of the renderer: rotations mean what the latents say, pictures are a pure function of the seed, and
   the data set written reads back as 3DIEBench's. */
#include "runtime/npy.h"
#include "runtime/data/loader.h"
#include "runtime/data/quaternion.h"
#include "runtime/render/dataset.h"
#include "runtime/render/render.h"
#include "runtime/render/shapes.h"
#include "tests/unit/folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- pictures ---- */
/* Where the object is in a picture: width and height, and the centre, of what differs from the empty scene. */
static void extent(const Mesh *m, const double angle[3], double *w, double *h, double *cx, double *cy) {
  enum { N = 64 };
  static uint8_t with[N * N * 3];
  Scene s = {.light_theta = 0.7, .light_hue = 0.5, .colour = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}};
  memcpy(s.angle, angle, sizeof s.angle);
  s.light_phi = 1.5; /* the shadow falls away from the camera's side */
  renderer_draw(renderer_new(arena, N), m, &s, with);
  int x0 = N, x1 = -1, y0 = N, y1 = -1, count = 0;
  *cx = *cy = 0;
  for (int i = 0; i < N * N; i++) { /* the floor is red, the object white under cyan light */
    if (with[3 * i + 1] < 0.95 * with[3 * i]) continue;
    int x = i % N, y = i / N;
    x0 = x < x0 ? x : x0, x1 = x > x1 ? x : x1, y0 = y < y0 ? y : y0, y1 = y > y1 ? y : y1;
    *cx += x, *cy += y, count++;
  }
  ck_assert_int_gt(count, 20);
  *cx /= count, *cy /= count;
  *w = x1 - x0 + 1;
  *h = y1 - y0 + 1;
}

START_TEST(rotations_show) {
  const double quarter = 1.57079632679489662;
  double w, h, cx, cy;
  Mesh rod = {.a = arena};
  mesh_box(&rod, frame_at(0, 0, 0), 1, 0.1, 0.1);
  mesh_finish(&rod, RENDER_RADIUS);
  extent(&rod, (double[]){0, 0, 0}, &w, &h, &cx, &cy); /* along x: to the side */
  ck_assert_msg(w > 3 * h, "%g x %g", w, h);
  ck_assert(fabs(cx - 31.5) < 1 && fabs(cy - 31.5) < 1.5);
  extent(&rod, (double[]){1, 0, 0}, &w, &h, &cx, &cy); /* about its own axis */
  ck_assert_msg(w > 3 * h, "%g x %g", w, h);
  extent(&rod, (double[]){0, 0, quarter}, &w, &h, &cx, &cy); /* along y: towards the camera */
  ck_assert_msg(h > 2 * w, "%g x %g", w, h);
  extent(&rod, (double[]){0, quarter, 0}, &w, &h, &cx, &cy); /* along z: up */
  ck_assert_msg(h > 2 * w, "%g x %g", w, h);
  Mesh pin = {.a = arena}; /* a heavy end at +z */
  mesh_box(&pin, frame_at(0, 0, -0.5), 0.03, 0.03, 0.5);
  mesh_ball(&pin, frame_at(0, 0, 0.5), 0.4, 0.4, 0.4);
  mesh_finish(&pin, RENDER_RADIUS);
  double up, turned;
  extent(&pin, (double[]){0, 0, 0}, &w, &h, &cx, &up);
  ck_assert_msg(up < 31, "%g", up); /* rows go down */
  extent(&pin, (double[]){0, quarter, 0}, &w, &h, &turned,
         &cy); /* z goes to +x, which the camera at +y sees on its left */
  ck_assert_msg(turned < 28, "%g", turned);
  extent(&pin, (double[]){0, quarter, -quarter}, &w, &h, &cx,
         &cy); /* then to -y: away from the camera, so higher */
  ck_assert_msg(cy < 31 && fabs(cx - 31.5) < 1.5, "%g %g", cx, cy);
}
END_TEST

START_TEST(classes_differ_and_vary) {
  int n = shapes_count();
  ck_assert_int_ge(n, 20);
  for (int c = 0; c < n; c++) {
    Vertex first = {{0}, {0}};
    for (int b = 0; b < c; b++) ck_assert_str_ne(shapes_name(b), shapes_name(c));
    for (uint32_t k = 0; k < 20; k++) {
      Mesh m = {.a = arena};
      Rng r = rng_stream(1, k, 2, 3);
      shapes_build(c, &r, &m);
      mesh_finish(&m, 1);
      double far = 0;
      for (int i = 0; i < m.vertex.n; i++) {
        const double *p = m.vertex.v[i].p, *q = m.vertex.v[i].n, s = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];
        ck_assert_msg(isfinite(p[0] + p[1] + p[2]) && (fabs(s - 1) < 1e-9 || s == 0), "%s", shapes_name(c));
        far = fmax(far, p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
      }
      ck_assert_double_eq_tol(far, 1, 1e-12);
      for (int i = 0; i < m.face.n; i++) ck_assert(m.face.v[i].part >= 0 && m.face.v[i].part < 3);
      if (k) ck_assert_msg(memcmp(&first, &m.vertex.v[0], sizeof first), "%s does not vary", shapes_name(c));
      first = m.vertex.v[0];
    }
  }
}
END_TEST

static RenderJob job(const char *where, int64_t objects, int classes) {
  return (RenderJob){
      .folder = where, .objects = objects, .views = 4, .size = 24, .classes = classes, .seed = 3};
}

START_TEST(pictures_depend_on_the_seed_alone) {
  RenderJob a = job("", 8, 5), b = job("", 800, 5);
  uint8_t x[24 * 24 * 3], y[24 * 24 * 3];
  double p[7], q[7];
  for (int64_t k = 0; k < 8; k++) {
    render_picture(&a, k, 1, x, p);
    render_picture(&b, k, 1, y, q);
    ck_assert_mem_eq(x, y, sizeof x);
    ck_assert_mem_eq(p, q, sizeof p);
    render_picture(&a, k, 2, y, q);
    ck_assert_mem_ne(x, y, sizeof x);
    b.seed = 4;
    render_picture(&b, k, 1, y, q);
    ck_assert_mem_ne(x, y, sizeof x);
    b.seed = 3;
  }
}
END_TEST

/* ---- the data set ---- */
enum { B = 2, V = 3, S = 24 };

static DataSpec spec_of(int colour, int per_object, int skip) {
  Setting *set = NEWN(arena, Setting, 7);
  const double value[] = {V, S, colour, 5, per_object, skip, 1};
  static const char *const name[] = {"views", "size", "colour", "classes", "per_object", "skip_bad", "cache"};
  for (int i = 0; i < 7; i++) set[i] = (Setting){.name = name[i], .kind = SET_NUM, .num = value[i]};
  DataField *f = NEWN(arena, DataField, 4);
  int a = colour ? 6 : 4;
  f[0] = (DataField){"views", DT_F32, {5, {B, V, 3, S, S}}};
  f[1] = (DataField){"actions", DT_F32, {3, {B, V - 1, a}}};
  f[2] = (DataField){"params", DT_F32, {3, {B, V, a}}};
  f[3] = (DataField){"label", DT_I64, {1, {B}}};
  return (DataSpec){.source = "diebench", .set = set, .nset = 7, .field = f, .nfield = 4};
}

typedef struct {
  float views[B * V * 3 * S * S], actions[B * (V - 1) * 6], params[B * V * 6];
  int64_t label[B];
} Batch;

static Status next(Loader *l, Batch *b) {
  void *dst[] = {b->views, b->actions, b->params, b->label};
  return loader_next(l, dst);
}

START_TEST(reads_back) {
  RenderJob j = job(folder, 20, 5);
  ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
  Status st;
  for (int colour = 0; colour < 2; colour++) {
    DataSpec spec = spec_of(colour, 4, 0);
    int width = colour ? 6 : 4;
    Batch *b = NEW(arena, Batch), *again = NEW(arena, Batch);
    Loader *l = loader_open(&spec, folder, B, 9, false, diags, &st);
    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(loader_size(l), 5); /* one of four rounds validates */
    loader_close(l);
    l = loader_open(&spec, folder, B, 9, true, diags, &st);
    Loader *other = loader_open(&spec, folder, B, 9, true, diags, &st);
    loader_configure(other, false, 3);
    ck_assert_int_eq(loader_size(l), 15);
    for (int k = 0; k < 20; k++) { /* beyond an epoch, so from the cache too */
      ck_assert_int_eq(next(l, b), ST_OK);
      ck_assert_int_eq(next(other, again), ST_OK);
      ck_assert_mem_eq(b, again, sizeof *b);
      for (int i = 0; i < B; i++) {
        ck_assert(b->label[i] >= 0 && b->label[i] < 5);
        for (int v = 0; v + 1 < V; v++) {
          const float *p = b->params + (i * V + v) * width, *a = b->actions + (i * (V - 1) + v) * width;
          double from[4], to[4], want[4];
          for (int c = 0; c < 4; c++) from[c] = p[c], to[c] = p[width + c];
          quaternion_between(from, to, true, want);
          for (int c = 0; c < 4; c++) ck_assert_double_eq_tol(a[c], want[c], 1e-6);
          ck_assert(fabsf(a[3]) < 0.9999f); /* two different pictures */
          if (colour) ck_assert(fabsf(a[4] - (p[width + 4] - p[4])) < 1e-6f && fabsf(a[5]) > 0);
        }
      }
    }
    loader_close(l);
    loader_close(other);
  }
  /* the pictures are those rendered: JPEG leaves small differences */
  DataSpec spec = spec_of(0, 4, 0);
  Batch *b = NEW(arena, Batch);
  Loader *l = loader_open(&spec, folder, B, 9, true, diags, &st);
  loader_configure(l, true, 1);
  ck_assert_int_eq(next(l, b), ST_OK);
  int found = 0;
  for (int view = 0; view < 4; view++) {
    uint8_t rgb[S * S * 3];
    double latent[7], q[4], off = 0;
    render_picture(&j, 1, view, rgb, latent);
    quaternion_of_euler(latent, true, q);
    for (int v = 0; v < V; v++) {
      if (fabs(b->params[(V + v) * 4] - q[0]) > 1e-6) continue;
      for (int i = 0; i < 3 * S * S; i++) {
        static const double mean[] = {.5016, .5037, .5060}, std[] = {.1030, .0999, .0969};
        int c = i / (S * S);
        off += fabs(b->views[(V + v) * 3 * S * S + i] * std[c] + mean[c] - rgb[i % (S * S) * 3 + c] / 255.0);
      }
      ck_assert_msg(off / (3 * S * S) < 0.05, "%g", off / (3 * S * S));
      found++;
    }
  }
  ck_assert_int_eq(found, V);
  loader_close(l);
}
END_TEST

/* Of every class with two objects or more the last fifth validates. */
START_TEST(every_class_validates) {
  static const int objects[] = {2, 7, 10, 11, 29, 33};
  for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
    enum { K = 5 };
    int n = objects[i], count[2][K] = {{0}};
    RenderJob j = {.folder = folder, .objects = n, .views = 1, .size = 8, .classes = K, .seed = 3};
    ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
    for (int part = 0; part < 2; part++) {
      const char *name = part ? "val_labels.npy" : "train_labels.npy";
      Source *file = source_read(arena, in_folder(name));
      NpyArray a;
      ck_assert_ptr_null(npy_parse((const uint8_t *)file->text, file->len, &a));
      ck_assert_int_ge(a.count, 1);
      for (int64_t k = 0; k < a.count; k++) count[part][(int)npy_number(&a, k)]++;
    }
    for (int c = 0; c < K && n > K; c++) {
      int all = (n - c + K - 1) / K, last = (all + 2) / 5;
      ck_assert_int_eq(count[1][c], all < 2 || last ? last : 1);
      ck_assert_int_eq(count[0][c] + count[1][c], all);
    }
  }
}
END_TEST

static void damage(const char *name, long keep) { ck_assert_int_eq(truncate(in_folder(name), keep), 0); }

START_TEST(bad_sets) {
  RenderJob j = job(folder, 10, 5);
  Status st;
  DataSpec spec = spec_of(0, 4, 0), skip = spec_of(0, 4, 1);
  Batch *b = NEW(arena, Batch);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 9, true, diags, &st));
  ck_assert_int_eq(st, ST_FILE);
  expect_message("3DIEBench is not in", "latent_0.npy");
  ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
  Source *list = source_read(arena, in_folder("train_images.npy"));
  NpyArray a;
  char name[64];
  ck_assert_ptr_null(npy_parse((const uint8_t *)list->text, list->len, &a));
  ck_assert(npy_text(&a, 2, name, sizeof name));
  for (int what = 0; what < 3; what++) {
    ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
    for (int v = 0; v < 4; v++) { /* all of them: which are drawn depends on the seed */
      const char *image = arena_printf(arena, "%s/image_%d.jpg", name, v),
                 *latent = arena_printf(arena, "%s/latent_%d.npy", name, v);
      if (what == 0) damage(image, 300);
      if (what == 1) unlink(in_folder(latent));
      if (what == 2) damage(latent, 150);
    }
    static const char *const word[] = {"JPEG", "No such file", "truncated"}, *const file[] = {"image_",
                                                                                              "latent_",
                                                                                              "latent_"};
    Loader *l = loader_open(&spec, folder, B, 9, true, diags, &st);
    ck_assert_ptr_nonnull(l);
    for (int k = 0; k < 4 && st == ST_OK; k++) st = next(l, b);
    ck_assert_int_eq(st, ST_FILE);
    ck_assert_int_eq(next(l, b), ST_FILE); /* still */
    loader_close(l);
    expect_message(arena_printf(arena, "%s/%s", name, file[what]), word[what]);
    l = loader_open(&skip, folder, B, 9, true, diags, &st);
    for (int k = 0; k < 8; k++) ck_assert_int_eq(next(l, b), ST_OK);
    ck_assert_int_eq(loader_skipped(l), 1);
    loader_close(l);
    expect_message("1 of 5 samples could not be read and were skipped", name);
  }
  ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
  rename(in_folder("val_labels.npy"), in_folder("train_labels.npy"));
  damage("train_labels.npy", 128 + 4 * 8);
  ck_assert_ptr_null(loader_open(&spec, folder, B, 9, true, diags, &st));
  expect_message("train_labels.npy", "shorter than its shape");
  ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
  j.objects = 30;
  j.folder = in_folder("other");
  ck_assert_int_eq(render_dataset(&j, diags), ST_OK);
  rename(in_folder("other/train_labels.npy"), in_folder("train_labels.npy"));
  ck_assert_ptr_null(loader_open(&spec, folder, B, 9, true, diags, &st));
  expect_message("train_images.npy lists 5 objects", "holds 25 labels");
  DataSpec many = spec_of(0, 2, 0);
  ck_assert_ptr_null(loader_open(&many, folder, B, 9, true, diags, &st));
  ck_assert_int_eq(st, ST_MODEL);
  expect_message("at least views = 3", "2 pictures");
}
END_TEST

int main(void) {
  Suite *s = suite_create("render");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, rotations_show);
  tcase_add_test(t, classes_differ_and_vary);
  tcase_add_test(t, pictures_depend_on_the_seed_alone);
  tcase_add_test(t, reads_back);
  tcase_add_test(t, every_class_validates);
  tcase_add_test(t, bad_sets);
  suite_add_tcase(s, t);
  return run_suite(s);
}
