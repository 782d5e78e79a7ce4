/* Data sets of one picture a file: TinyImageNet as distributed, and folders with a folder for each class. The
   lists of files are made when opening, in the order of their names; pictures are decoded when a batch needs
   them. */
#include "runtime/data/cache.h"
#include "runtime/data/source.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef VEC(const char *) Names;

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is in a folder but hidden things, sorted; folders only when `folders`. false after reporting. */
static bool list_folder(Opening *o, const char *path, bool folders, Names *out) {
  DIR *dir = opendir(path);
  if (!dir) {
    source_bad(o, "cannot read %s: %s", path, strerror(errno));
    return false;
  }
  for (struct dirent *e; (e = readdir(dir));) {
    struct stat st;
    if (e->d_name[0] == '.') continue;
    if (folders && (stat(arena_printf(o->a, "%s/%s", path, e->d_name), &st) || !S_ISDIR(st.st_mode)))
      continue;
    vec_push(o->a, out, arena_strdup(o->a, e->d_name));
  }
  closedir(dir);
  if (out->n) qsort((void *)out->v, (size_t)out->n, sizeof *out->v, by_name);
  return true;
}

static int class_of(const Names *classes, const char *name) {
  const char **at = bsearch(&name, (const void *)classes->v, (size_t)classes->n, sizeof *classes->v, by_name);
  return at ? (int)(at - classes->v) : -1;
}

/* ---- pictures ---- */
typedef struct {
  Names path;
  VEC(int32_t) label;
  int others; /* files that are no pictures */
  const char *other;
} Pictures;

static const uint8_t *picture_pixels(const DataSet *s, int64_t sample, uint8_t *bytes, Reason *why) {
  const uint8_t *kept = cache_get(s->cache, sample);
  if (kept) return kept;
  if (!picture_read(s->path[sample], s->channels, s->height, s->exact, bytes, why)) return NULL;
  cache_put(s->cache, sample, bytes);
  return bytes;
}

static Status take_pictures(Opening *o, Pictures *p, int side, bool exact, const char *where) {
  DataSet *s = o->s;
  double cache = source_number(o, "cache", 256);
  if (!p->path.n) return source_bad(o, "%s holds no images", where);
  if (!(cache >= 0 && cache < 1e9)) return source_wrong(o, "cache is a number of MiB, not %g", cache);
  s->samples = p->path.n;
  s->path = p->path.v;
  s->label = p->label.v;
  s->height = s->width = side;
  s->pixels = picture_pixels;
  s->exact = exact;
  s->skip_bad = source_number(o, "skip_bad", 0) != 0;
  s->cache = cache_new(s->samples, (size_t)(s->channels * side * side), (int64_t)(cache * (1 << 20)));
  return ST_OK;
}

static bool ends_in(const char *name, const char *suffix) {
  size_t n = strlen(name), k = strlen(suffix);
  return n > k && !strcasecmp(name + n - k, suffix);
}

/* By its name, or where that says nothing by how it begins. A picture's name with other contents is a damaged
   picture, not another kind of file. */
static bool is_picture(const char *path) {
  static const char *const names[] = {".jpg", ".jpeg", ".png"};
  for (int i = 0; i < 3; i++)
    if (ends_in(path, names[i])) return true;
  uint8_t head[4] = {0};
  const char *why;
  int fd = file_open(path, &why);
  ssize_t n = fd < 0 ? 0 : read(fd, head, sizeof head);
  if (fd >= 0) close(fd);
  return n == 4 && (!memcmp(head, "\xff\xd8\xff", 3) || !memcmp(head, "\x89PNG", 4));
}

/* The pictures of folder/CLASS/sub. */
static Status list_classes(Opening *o, const char *folder, const char *sub, const Names *classes,
                           Pictures *p) {
  for (int c = 0; c < classes->n; c++) {
    Names files = {0};
    const char *path = arena_printf(o->a, "%s/%s%s", folder, classes->v[c], sub);
    if (!list_folder(o, path, false, &files)) return ST_FILE;
    int before = p->path.n;
    for (int i = 0; i < files.n; i++) {
      const char *file = arena_printf(o->a, "%s/%s", path, files.v[i]);
      if (!is_picture(file)) {
        if (!p->others++) p->other = file;
        continue;
      }
      vec_push(o->a, &p->path, file);
      vec_push(o->a, &p->label, c);
    }
    if (p->path.n == before) return source_bad(o, "%s holds no images", path);
  }
  if (p->others == 1) diag_warning(o->d, NULL, "%s is neither JPEG nor PNG and is no sample", p->other);
  else if (p->others)
    diag_warning(o->d, NULL, "%d files below %s are neither JPEG nor PNG and are no samples; the first: %s",
                 p->others, folder, p->other);
  return ST_OK;
}

/* ---- tinyimagenet ---- */
/* Lines "FILE<tab>CLASS<tab>..." */
static Status list_annotated(Opening *o, const char *dir, const Names *classes, Pictures *p) {
  const char *path = arena_printf(o->a, "%s/val/val_annotations.txt", dir);
  Source *text = source_read(o->a, path);
  if (!text) return source_bad(o, "cannot read %s: %s", path, strerror(errno));
  int line = 0;
  for (const char *at = text->text; *at;) {
    size_t n = strcspn(at, "\n"), file = strcspn(at, "\t\n"), cls = 0;
    line++;
    if (file < n) cls = strcspn(at + file + 1, "\t\r\n");
    if (n) {
      const char *name = arena_strndup(o->a, at, file),
                 *class = arena_strndup(o->a, at + file + (file < n), cls);
      int c = cls ? class_of(classes, class) : -1;
      if (c < 0) return source_bad(o, "%s:%d: class '%s' has no folder in %s/train", path, line, class, dir);
      if (strchr(name, '/')) return source_bad(o, "%s:%d: '%s' is not a file name", path, line, name);
      vec_push(o->a, &p->path, arena_printf(o->a, "%s/val/images/%s", dir, name));
      vec_push(o->a, &p->label, c);
    }
    at += n + (at[n] == '\n');
  }
  Names files = {0};
  const char *images = arena_printf(o->a, "%s/val/images", dir);
  if (!list_folder(o, images, false, &files)) return ST_FILE;
  if (files.n != p->path.n)
    return source_bad(o, "%s lists %d images, but %s holds %d files", path, p->path.n, images, files.n);
  return ST_OK;
}

Status open_tiny(Opening *o) {
  static const double mean[] = {0.4914, 0.4822, 0.4465}, std[] = {0.247, 0.243, 0.261};
  static const char *const names[] = {"train", NULL};
  Names classes = {0};
  Pictures p = {0};
  o->s->classes = 200;
  o->s->channels = 3;
  const char *dir =
      source_folder(o, "TinyImageNet", "tiny-imagenet-200", names,
                    "train/CLASS/images/*.JPEG for each of the 200 classes, val/images/*.JPEG and "
                    "val/val_annotations.txt, unpacked from its archive");
  if (!dir) return ST_FILE;
  const char *train = arena_printf(o->a, "%s/train", dir);
  if (!list_folder(o, train, true, &classes)) return ST_FILE;
  if (classes.n < 1 || classes.n > 200)
    return source_bad(o, "%s holds %d class folders, expected 200", train, classes.n);
  o->s->class_name = classes.n == 200 ? classes.v : NULL;
  Status st =
      o->train ? list_classes(o, train, "/images", &classes, &p) : list_annotated(o, dir, &classes, &p);
  if (st == ST_OK) st = take_pictures(o, &p, 64, true, o->train ? train : dir);
  return st ? st : source_images(o, 64, mean, std, dir);
}

/* ---- image_folder ---- */
/* Keeps `test` of each class back, evenly over the order of its names, so the same pictures whatever the seed. */
static Status split_pictures(Opening *o, const Names *classes, double test, Pictures *p) {
  int of = 0, kept[2] = {0, 0}, n = 0;
  for (int i = 0; i < p->path.n; i++) {
    if (i && p->label.v[i] != p->label.v[i - 1]) of = kept[0] = kept[1] = 0;
    bool is_test = floor(test * (of + 1) + 1e-9) > floor(test * of + 1e-9);
    of++;
    kept[is_test]++;
    if (is_test != o->train) {
      p->path.v[n] = p->path.v[i];
      p->label.v[n++] = p->label.v[i];
    }
    if ((i + 1 == p->path.n || p->label.v[i + 1] != p->label.v[i]) && (!kept[0] || !kept[1]))
      return source_wrong(o, "test = %g of the %d pictures of class %s leaves no %s pictures", test, of,
                          classes->v[p->label.v[i]], kept[1] ? "training" : "test");
  }
  p->path.n = p->label.n = n;
  return ST_OK;
}

/* With `test`: DIR/train/CLASS/ or DIR/CLASS/ holds all pictures. */
static Status open_whole(Opening *o, double test, Names *classes, Pictures *p, const char **home) {
  static const char *const parts[] = {"test", "val"};
  if (!o->folder)
    return source_bad(o, "the image folder is not named: --data DIR, which holds a folder for each class");
  const char *train = source_file(o->a, o->folder, "train"), *dir = train ? train : o->folder;
  for (int i = 0; train && i < 2; i++)
    if (source_file(o->a, o->folder, parts[i]))
      return source_wrong(o, "test = %g of image_folder has no effect: %s/%s is a test part of its own", test,
                          o->folder, parts[i]);
  if (!list_folder(o, dir, true, classes)) return ST_FILE;
  if (classes->n != o->s->classes)
    return source_bad(o, "%s holds %d class folders, but classes = %d", dir, classes->n, o->s->classes);
  Status st = list_classes(o, dir, "", classes, p);
  o->s->class_name = classes->v;
  *home = o->folder;
  return st ? st : split_pictures(o, classes, test, p);
}

Status open_folder(Opening *o) {
  static const double mean3[] = {0.485, 0.456, 0.406}, std3[] = {0.229, 0.224, 0.225}, mean1[] = {0.5},
                      std1[] = {0.25};
  static const char *const names[] = {"train", NULL};
  Names classes = {0}, trained = {0};
  Pictures p = {0};
  double count = source_number(o, "classes", 0), channels = source_number(o, "channels", 3),
         size = source_number(o, "size", 64), load = source_number(o, "load", size),
         test = source_number(o, "test", 0);
  if (channels != 1 && channels != 3)
    return source_wrong(o, "image_folder has 1 or 3 channels, not %g", channels);
  if (!(load >= 1 && load <= 4096)) return source_wrong(o, "load is 1 to 4096, not %g", load);
  o->s->classes = (int)count;
  o->s->channels = (int)channels;
  if (test > 0) {
    const char *home = NULL;
    Status st = open_whole(o, test, &classes, &p, &home);
    if (!st) st = take_pictures(o, &p, (int)load, false, home);
    return st ? st : source_images(o, 64, channels == 3 ? mean3 : mean1, channels == 3 ? std3 : std1, home);
  }
  const char *dir = source_folder(
      o, "the image folder", "images", names,
      "train/CLASS/* and test/CLASS/* (or val/CLASS/*), JPEG or PNG files; of a folder with CLASS/* alone "
      "image_folder(..., test = 0.2) keeps a fifth for testing");
  if (!dir) return ST_FILE;
  const char *part = o->train || !source_file(o->a, dir, "test") ? o->train ? "train" : "val" : "test";
  const char *train = arena_printf(o->a, "%s/train", dir), *here = arena_printf(o->a, "%s/%s", dir, part);
  if (!list_folder(o, train, true, &trained) || !list_folder(o, here, true, &classes)) return ST_FILE;
  if (trained.n != o->s->classes)
    return source_bad(o, "%s holds %d class folders, but classes = %d", train, trained.n, o->s->classes);
  o->s->class_name = trained.v;
  Status st = list_classes(o, here, "", &classes, &p);
  if (st) return st;
  for (int i = 0; i < classes.n; i++)
    if (class_of(&trained, classes.v[i]) < 0)
      return source_bad(o, "%s has class %s, which %s does not have", here, classes.v[i], train);
  for (int i = 0; i < p.label.n; i++) p.label.v[i] = class_of(&trained, classes.v[p.label.v[i]]);
  st = take_pictures(o, &p, (int)load, false, here);
  return st ? st : source_images(o, 64, channels == 3 ? mean3 : mean1, channels == 3 ? std3 : std1, dir);
}
