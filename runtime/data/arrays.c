/* Data sets of whole arrays: Fashion-MNIST (Xiao et al. 2017; Debian package dataset-fashion-mnist),
   CIFAR-100 (Krizhevsky 2009, binary version) and STL-10 (Coates et al. 2011, binary version). Files are
   mapped where they can be; a sample is turned into floats when it is used. */
#include "runtime/data/archive.h"
#include "runtime/data/idx.h"
#include "runtime/data/source.h"

#include <string.h>

static const uint8_t *whole_record(const DataSet *s, int64_t sample, uint8_t *bytes, Reason *why) {
  (void)bytes;
  (void)why;
  return s->record + sample * s->stride;
}

static void image_shape(DataSet *s, int classes, int channels, int side) {
  s->classes = classes;
  s->channels = channels;
  s->height = s->width = side;
  s->pixels = whole_record;
}

/* Labels of the samples: bytes `stride` apart, less `first`. */
static Status take_labels(Opening *o, const uint8_t *p, int64_t stride, int first, const char *path) {
  int32_t *label = NEWN(o->a, int32_t, o->s->samples);
  for (int64_t i = 0; i < o->s->samples; i++) label[i] = p[i * stride] - first;
  o->s->label = label;
  return source_check_labels(o, path);
}

/* ---- fashion_mnist ---- */
static Status read_fashion(Opening *o, const char *dir, const char *images, const char *labels) {
  DataSet *s = o->s;
  const char *pi = source_file(o->a, dir, images), *pl = source_file(o->a, dir, labels);
  if (!pi) pi = arena_printf(o->a, "%s/%s.gz", dir, images);
  if (!pl) pl = arena_printf(o->a, "%s/%s.gz", dir, labels);
  IdxFile x, y;
  if (idx_read(pi, 3, &x, o->d) != ST_OK) return ST_FILE;
  s->owned[0] = x.data;
  if (idx_read(pl, 1, &y, o->d) != ST_OK) return ST_FILE;
  s->owned[1] = y.data;
  if (x.dim[0] != y.dim[0])
    return source_bad(o, "%s holds %lld images, but %s holds %lld labels", pi, (long long)x.dim[0], pl,
                      (long long)y.dim[0]);
  if (x.dim[0] < 1) return source_bad(o, "%s holds no images", pi);
  if (x.dim[1] != 28 || x.dim[2] != 28)
    return source_bad(o, "%s: images of %lld x %lld, expected 28 x 28", pi, (long long)x.dim[1],
                      (long long)x.dim[2]);
  s->samples = x.dim[0];
  s->record = x.data;
  s->stride = 28 * 28;
  return take_labels(o, y.data, 1, 0, pl);
}

Status open_fashion(Opening *o) {
  static const double mean[] = {0.2860}, std[] = {0.3530};
  const char *part = o->train ? "train" : "t10k";
  const char *images = arena_printf(o->a, "%s-images-idx3-ubyte", part);
  const char *labels = arena_printf(o->a, "%s-labels-idx1-ubyte", part);
  const char *names[] = {arena_printf(o->a, "%s.gz", images), images, NULL};
  image_shape(o->s, 10, 1, 28);
  static const char *const clothes[] = {"T-shirt", "trousers", "pullover", "dress", "coat",
                                        "sandal",  "shirt",    "sneaker",  "bag",   "ankle boot"};
  o->s->class_name = clothes;
  const char *dir =
      source_folder(o, "Fashion-MNIST", "fashion-mnist", names,
                    "the four IDX files train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                    "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each perhaps with .gz, as in "
                    "the Debian package dataset-fashion-mnist");
  if (!dir) return ST_FILE;
  Status st = read_fashion(o, dir, images, labels);
  return st ? st : source_images(o, 28, mean, std, dir);
}

/* ---- cifar100 ---- */
enum { CIFAR_PIXELS = 3 * 32 * 32, CIFAR_RECORD = CIFAR_PIXELS + 2 }; /* coarse label, fine label, planes */
static const char cifar_archive[] = "cifar-100-binary.tar.gz";

/* What --data names is the archive itself. */
static bool names_archive(const char *folder) {
  static const char *const ends[] = {".tar.gz", ".tgz", ".tar"};
  size_t n = folder ? strlen(folder) : 0;
  for (int i = 0; i < 3; i++) {
    size_t k = strlen(ends[i]);
    if (n > k && !strcmp(folder + n - k, ends[i])) return true;
  }
  return false;
}

static Status read_cifar(Opening *o, const char *dir, const char *name) {
  DataSet *s = o->s;
  const char *path = dir ? arena_printf(o->a, "%s/%s", dir, name) : o->folder;
  const uint8_t *p;
  int64_t n;
  if (dir && source_file(o->a, dir, name)) {
    if (file_map(&s->mapped[0], path, o->d) != ST_OK) return ST_FILE;
    p = s->mapped[0].p;
    n = (int64_t)s->mapped[0].n;
  } else {
    uint8_t *data;
    if (dir) path = arena_printf(o->a, "%s/%s", dir, cifar_archive);
    if (archive_member(path, name, (int64_t)1 << 30, &data, &n, o->d) != ST_OK) return ST_FILE;
    s->owned[0] = data;
    p = data;
  }
  if (n == 0 || n % CIFAR_RECORD)
    return source_bad(
        o, "%s: the %lld bytes of %s are not a whole number of CIFAR-100 records of %d (truncated?)", path,
        (long long)n, name, CIFAR_RECORD);
  s->samples = n / CIFAR_RECORD;
  s->record = p + 2;
  s->stride = CIFAR_RECORD;
  return take_labels(o, p + 1, CIFAR_RECORD, 0, path);
}

Status open_cifar(Opening *o) {
  static const double mean[] = {0.4914, 0.4822, 0.4465}, std[] = {0.247, 0.243, 0.261};
  const char *name = o->train ? "train.bin" : "test.bin", *names[] = {name, cifar_archive, NULL}, *dir = NULL;
  image_shape(o->s, 100, 3, 32);
  if (!names_archive(o->folder)) {
    dir = source_folder(o, "CIFAR-100", "cifar-100-binary", names,
                        "train.bin and test.bin of the binary version, or the archive as distributed, "
                        "cifar-100-binary.tar.gz");
    if (!dir) return ST_FILE;
  }
  Status st = read_cifar(o, dir, name);
  return st ? st : source_images(o, 32, mean, std, dir ? dir : ".");
}

/* ---- stl10 ---- */
enum { STL_SIDE = 96, STL_BYTES = 3 * STL_SIDE * STL_SIDE };

/* Each plane is stored column after column. */
static const uint8_t *stl_pixels(const DataSet *s, int64_t sample, uint8_t *bytes, Reason *why) {
  const uint8_t *p = whole_record(s, sample, bytes, why);
  for (int c = 0; c < 3; c++)
    for (int y = 0; y < STL_SIDE; y++)
      for (int x = 0; x < STL_SIDE; x++)
        bytes[(c * STL_SIDE + y) * STL_SIDE + x] = p[(c * STL_SIDE + x) * STL_SIDE + y];
  return bytes;
}

static Status read_stl(Opening *o, const char *dir, const char *part) {
  DataSet *s = o->s;
  MappedFile y = {0};
  const char *px = arena_printf(o->a, "%s/%s_X.bin", dir, part),
             *py = arena_printf(o->a, "%s/%s_y.bin", dir, part);
  if (file_map(&s->mapped[0], px, o->d) != ST_OK) return ST_FILE;
  if (s->mapped[0].n == 0 || s->mapped[0].n % STL_BYTES)
    return source_bad(o, "%s: its %zu bytes are not a whole number of images of %d (truncated?)", px,
                      s->mapped[0].n, STL_BYTES);
  s->samples = (int64_t)(s->mapped[0].n / STL_BYTES);
  s->record = s->mapped[0].p;
  s->stride = STL_BYTES;
  if (!strcmp(part, "unlabeled")) {
    int32_t *label = NEWN(o->a, int32_t, s->samples);
    for (int64_t i = 0; i < s->samples; i++) label[i] = -1;
    s->label = label;
    return ST_OK;
  }
  if (file_map(&y, py, o->d) != ST_OK) return ST_FILE;
  Status st = (int64_t)y.n == s->samples ? take_labels(o, y.p, 1, 1, py) /* 1 to 10 in the file */
                                         : source_bad(o, "%s holds %lld images, but %s holds %zu labels", px,
                                                      (long long)s->samples, py, y.n);
  file_unmap(&y);
  return st;
}

Status open_stl(Opening *o) {
  static const double mean[] = {0.4467, 0.4398, 0.4066}, std[] = {0.2241, 0.2215, 0.2239};
  const char *split = source_word(o, "split", "train"), *part = o->train ? split : "test";
  if (strcmp(split, "train") && strcmp(split, "unlabeled"))
    return source_wrong(o, "split of stl10 is \"train\" or \"unlabeled\", not \"%s\"", split);
  const char *names[] = {arena_printf(o->a, "%s_X.bin", part), NULL};
  image_shape(o->s, 10, 3, STL_SIDE);
  o->s->pixels = stl_pixels;
  const char *dir =
      source_folder(o, "STL-10", "stl10_binary", names,
                    "train_X.bin, train_y.bin, test_X.bin, test_y.bin and, for split = \"unlabeled\", "
                    "unlabeled_X.bin, unpacked from the binary version's archive");
  if (!dir) return ST_FILE;
  Status st = read_stl(o, dir, part);
  return st ? st : source_images(o, STL_SIDE, mean, std, dir);
}
