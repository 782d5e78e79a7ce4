/* Decoding keeps no state between pictures, so any number of threads may do it. Damage that libjpeg only
   warns of is an error here: such a picture has wrong areas that nobody would notice. */
#include "runtime/data/picture.h"
#include "runtime/data/pixels.h"
#include "runtime/file.h"

#include <errno.h>
#include <jpeglib.h>

#include <jerror.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SIDE = 16384, MAX_PIXELS = 1 << 26, MAX_FILE = 1 << 28 };

/* Interleaved pixels. */
typedef struct {
  int w, h;
  uint8_t *p; /* malloc'ed */
} Raw;

uint8_t *picture_file(const char *path, size_t most, size_t *n, Reason *why) {
  const char *wrong = NULL;
  struct stat st;
  uint8_t *p = NULL;
  int fd = file_open(path, &wrong);
  *n = 0;
  if (fd >= 0 && fstat(fd, &st)) wrong = strerror(errno);
  else if (fd >= 0 && (uint64_t)st.st_size > most) wrong = strerror(EFBIG);
  if (!wrong) p = xmalloc((size_t)st.st_size + 1, path);
  while (!wrong && *n < (size_t)st.st_size) {
    ssize_t got = read(fd, p + *n, (size_t)st.st_size - *n);
    if (got > 0) *n += (size_t)got;
    else if (got == 0) break; /* it has become shorter */
    else if (errno != EINTR) wrong = strerror(errno);
  }
  if (fd >= 0) close(fd);
  if (!wrong) return p;
  snprintf(why->text, sizeof why->text, "cannot read %s: %s", path, wrong);
  free(p);
  return NULL;
}

/* ---- JPEG ---- */
typedef struct {
  struct jpeg_error_mgr base; /* first: libjpeg's pointer is to it */
  jmp_buf trap;
  char text[JMSG_LENGTH_MAX];
} JpegTrap;

static void jpeg_failed(j_common_ptr j) {
  if (j->err->msg_code == JERR_OUT_OF_MEMORY) out_of_memory("a picture", 0);
  JpegTrap *t = (JpegTrap *)(void *)j->err;
  t->base.format_message(j, t->text);
  longjmp(t->trap, 1);
}

/* Warnings that say that pixels are wrong; the others are of bytes between the data, odd versions and transforms. */
static void jpeg_said(j_common_ptr j, int level) {
  static const int damage[] = {JWRN_JPEG_EOF,    JWRN_HIT_MARKER,     JWRN_HUFF_BAD_CODE,
                               JWRN_MUST_RESYNC, JWRN_ARITH_BAD_CODE, JWRN_BOGUS_PROGRESSION};
  for (size_t i = 0; level < 0 && i < sizeof damage / sizeof *damage; i++)
    if (j->err->msg_code == damage[i]) jpeg_failed(j);
}

/* A small file may hold thousands of scans, each of which goes over the whole picture. */
static void jpeg_goes_on(j_common_ptr j) {
  enum { MOST_SCANS = 100 };
  JpegTrap *t = (JpegTrap *)(void *)j->err;
  if (!j->is_decompressor || ((j_decompress_ptr)j)->input_scan_number <= MOST_SCANS) return;
  snprintf(t->text, sizeof t->text, "it has more than %d scans", MOST_SCANS);
  longjmp(t->trap, 1);
}

static struct jpeg_error_mgr *jpeg_trap(JpegTrap *t) {
  jpeg_std_error(&t->base);
  t->base.error_exit = jpeg_failed;
  t->base.emit_message = jpeg_said;
  t->text[0] = 0;
  return &t->base;
}

/* The smallest eighth of the full size at which the shorter side is still twice what is wanted. Blocks that are cut off at
   the edge hold more than the picture, and would leak into it. */
static unsigned eighths(const struct jpeg_decompress_struct *j, unsigned want) {
  unsigned side = j->image_width < j->image_height ? j->image_width : j->image_height, k = 1;
  if (!want || j->image_width % (8 * (unsigned)j->max_h_samp_factor) ||
      j->image_height % (8 * (unsigned)j->max_v_samp_factor))
    return 8;
  while (k < 8 && side * k / 8 < 2 * want) k++;
  return k;
}

static int times(int a, int b) { /* of 0..255 as fractions */
  int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

/* A row of inverted CMYK, as Adobe's programs write it, to RGB or grey; as Pillow does. In place. */
static void from_cmyk(uint8_t *row, unsigned width, int channels) {
  for (unsigned x = 0; x < width; x++) {
    const uint8_t *from = row + 4 * x;
    int k = from[3], c[3];
    for (int i = 0; i < 3; i++) c[i] = k - times(255 - from[i], k);
    if (channels == 1) row[x] = (uint8_t)((c[0] * 19595 + c[1] * 38470 + c[2] * 7471 + 0x8000) >> 16);
    for (int i = 0; i < 3 && channels == 3; i++) row[3 * x + (unsigned)i] = (uint8_t)c[i];
  }
}

static const char *too_large(unsigned w, unsigned h, char text[200]) {
  if (w <= MAX_SIDE && h <= MAX_SIDE && (uint64_t)w * h <= MAX_PIXELS) return NULL;
  snprintf(text, 200, "it has %u x %u pixels; at most %d a side and %d in all are supported", w, h, MAX_SIDE,
           MAX_PIXELS);
  return text;
}

/* NULL, or what is wrong (in text). raw->p is to be freed either way. */
static const char *jpeg_decode(const uint8_t *data, size_t n, int channels, int want, Raw *raw,
                               char text[200]) {
  struct jpeg_decompress_struct j;
  struct jpeg_progress_mgr progress = {.progress_monitor = jpeg_goes_on};
  JpegTrap trap;
  uint8_t *volatile four = NULL;
  j.err = jpeg_trap(&trap);
  if (setjmp(trap.trap)) {
    jpeg_destroy_decompress(&j);
    free(four);
    snprintf(text, 200, "%s", trap.text);
    return text;
  }
  jpeg_create_decompress(&j);
  jpeg_mem_src(&j, data, (unsigned long)n);
  jpeg_read_header(&j, TRUE);
  if (too_large(j.image_width, j.image_height, text)) {
    jpeg_destroy_decompress(&j);
    return text;
  }
  const bool cmyk = j.jpeg_color_space == JCS_CMYK || j.jpeg_color_space == JCS_YCCK;
  j.progress = &progress;
  j.out_color_space = cmyk ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  j.scale_num = eighths(&j, (unsigned)want);
  j.scale_denom = 8;
  j.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&j);
  raw->w = (int)j.output_width;
  raw->h = (int)j.output_height;
  size_t row = (size_t)raw->w * (size_t)channels;
  raw->p = xmalloc(row * (size_t)raw->h, "a picture");
  if (cmyk) four = xmalloc((size_t)raw->w * 4, "a picture");
  while (j.output_scanline < j.output_height) {
    uint8_t *at = raw->p + j.output_scanline * row;
    JSAMPROW to = four ? four : at;
    jpeg_read_scanlines(&j, &to, 1);
    if (!four) continue;
    from_cmyk(to, j.output_width, channels);
    memcpy(at, to, row);
  }
  jpeg_finish_decompress(&j);
  jpeg_destroy_decompress(&j);
  free(four);
  return NULL;
}

void picture_jpeg(int width, int height, int quality, const uint8_t *rgb, uint8_t **data, size_t *n) {
  struct jpeg_compress_struct j;
  JpegTrap trap;
  unsigned long bytes = 0;
  unsigned char *buffer = NULL;
  unsigned char **out = &buffer; /* libjpeg writes here, also when it jumps */
  j.err = jpeg_trap(&trap);
  if (setjmp(trap.trap)) bug("libjpeg cannot write a picture: %s", trap.text);
  jpeg_create_compress(&j);
  jpeg_mem_dest(&j, out, &bytes);
  j.image_width = (JDIMENSION)width;
  j.image_height = (JDIMENSION)height;
  j.input_components = 3;
  j.in_color_space = JCS_RGB;
  jpeg_set_defaults(&j);
  jpeg_set_quality(&j, quality, TRUE);
  j.dct_method = JDCT_ISLOW;
  jpeg_start_compress(&j, TRUE);
  while (j.next_scanline < j.image_height) {
    JSAMPROW from = (JSAMPROW)(uintptr_t)(rgb + (size_t)j.next_scanline * (size_t)width * 3);
    jpeg_write_scanlines(&j, &from, 1);
  }
  jpeg_finish_compress(&j);
  jpeg_destroy_compress(&j);
  *data = *out;
  *n = bytes;
}

/* ---- PNG ---- */
typedef struct {
  jmp_buf trap;
  char *text;
  const uint8_t *p;
  size_t left;
} PngSource;

static void png_failed(png_structp png, png_const_charp text) {
  PngSource *s = png_get_error_ptr(png);
  snprintf(s->text, 200, "%s", text);
  longjmp(s->trap, 1);
}

static void png_said(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void png_more(png_structp png, png_bytep to, size_t n) {
  PngSource *s = png_get_io_ptr(png);
  if (n > s->left) png_error(png, "it ends too early (truncated?)");
  memcpy(to, s->p, n);
  s->p += n;
  s->left -= n;
}

static png_voidp png_memory(png_structp png, png_alloc_size_t n) {
  (void)png;
  return xmalloc(n, "a picture");
}

static void png_forget(png_structp png, png_voidp p) {
  (void)png;
  free(p);
}

static const char *png_decode(const uint8_t *data, size_t n, int channels, int want, Raw *raw,
                              char text[200]) {
  (void)want;
  PngSource s = {.text = text, .p = data, .left = n};
  png_bytep *volatile rows = NULL;
  png_structp png =
      png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s, png_failed, png_said, NULL, png_memory, png_forget);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) out_of_memory("a picture", 0);
  if (setjmp(s.trap)) {
    png_destroy_read_struct(&png, &info, NULL);
    free((void *)rows);
    return text;
  }
  png_set_read_fn(png, &s, png_more);
  png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
  png_read_info(png, info);
  if (too_large(png_get_image_width(png, info), png_get_image_height(png, info), text)) longjmp(s.trap, 1);
  png_set_expand(png);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  if (channels == 3) png_set_gray_to_rgb(png);
  else if (png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR) png_set_rgb_to_gray(png, 1, 0.299, 0.587);
  png_set_gamma(png, 1, 1); /* grey is that of the stored values, whatever gamma a file names */
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  raw->w = (int)png_get_image_width(png, info);
  raw->h = (int)png_get_image_height(png, info);
  size_t row = png_get_rowbytes(png, info);
  if (row != (size_t)raw->w * (size_t)channels) png_error(png, "its pixels have an unexpected format");
  raw->p = xmalloc(row * (size_t)raw->h, "a picture");
  rows = xmalloc((size_t)raw->h * sizeof *rows, "a picture");
  for (int y = 0; y < raw->h; y++) rows[y] = raw->p + (size_t)y * row;
  png_read_image(png, (png_bytepp)rows);
  png_read_end(png, NULL);
  png_destroy_read_struct(&png, &info, NULL);
  free((void *)rows);
  return NULL;
}

/* ---- both ---- */
static const struct {
  const char *magic;
  size_t n;
  const char *(*decode)(const uint8_t *, size_t, int, int, Raw *, char *);
} formats[] = {{"\xff\xd8\xff", 3, jpeg_decode}, {"\x89PNG\r\n\x1a\n", 8, png_decode}};

/* The centred square, resized. */
static void square(const Raw *raw, int channels, int side, uint8_t *out) {
  size_t from = (size_t)raw->w * (size_t)raw->h, to = (size_t)side * (size_t)side;
  int cut = raw->w < raw->h ? raw->w : raw->h, big = cut > side ? cut : side;
  Box box = {(raw->h - cut) / 2, (raw->w - cut) / 2, cut, cut};
  float *room = xmalloc((from + to + (size_t)pixels_room(1, big)) * sizeof *room, "a picture");
  Image in = {1, raw->h, raw->w, room}, small = {1, side, side, room + from};
  for (int c = 0; c < channels; c++) {
    for (size_t i = 0; i < from; i++) in.p[i] = raw->p[i * (size_t)channels + (size_t)c];
    pixels_resize(&in, box, FILTER_BILINEAR, &small, small.p + to);
    for (size_t i = 0; i < to; i++) out[(size_t)c * to + i] = (uint8_t)(small.p[i] + 0.5f);
  }
  free(room);
}

bool picture_read(const char *path, int channels, int side, bool exact, uint8_t *out, Reason *why) {
  size_t n, k = 0, count = sizeof formats / sizeof *formats, plane = (size_t)side * (size_t)side;
  char text[200] = "";
  Raw raw = {0};
  uint8_t *data = picture_file(path, MAX_FILE, &n, why);
  if (!data) return false;
  const char *wrong = NULL;
  while (k < count && (n < formats[k].n || memcmp(data, formats[k].magic, formats[k].n))) k++;
  if (k == count) wrong = "it is neither JPEG nor PNG";
  else wrong = formats[k].decode(data, n, channels, exact ? 0 : side, &raw, text);
  free(data);
  if (!wrong && raw.w == side && raw.h == side) {
    for (size_t i = 0; i < plane; i++)
      for (int c = 0; c < channels; c++) out[(size_t)c * plane + i] = raw.p[i * (size_t)channels + (size_t)c];
  } else if (!wrong && exact) {
    snprintf(text, sizeof text, "it has %d x %d pixels, expected %d x %d", raw.w, raw.h, side, side);
    wrong = text;
  } else if (!wrong) {
    square(&raw, channels, side, out);
  }
  free(raw.p);
  if (wrong) snprintf(why->text, sizeof why->text, "%.280s: %s", path, wrong);
  return !wrong;
}
