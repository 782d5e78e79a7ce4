/* Writes PNG files with libpng. */
#include "runtime/png.h"
#include "runtime/file.h"
#include "ir/memory.h"

#include <png.h>
#include <stdlib.h>

/* libpng reports errors by calling a function that must not return. */
typedef struct {
  jmp_buf trap;
  char text[128];
} Trap;

static void on_error(png_structp png, png_const_charp text) {
  Trap *t = png_get_error_ptr(png);
  snprintf(t->text, sizeof t->text, "%s", text);
  longjmp(t->trap, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void on_bytes(png_structp png, png_bytep p, size_t n) {
  sb_put(png_get_io_ptr(png), (const char *)p, n);
}

static void on_flush(png_structp png) { (void)png; }

static png_voidp on_alloc(png_structp png, png_alloc_size_t n) {
  (void)png;
  return xmalloc(n, "a picture");
}

static void on_free(png_structp png, png_voidp p) {
  (void)png;
  free(p);
}

bool png_encode(StrBuf *out, int width, int height, int channels, const uint8_t *pixels, const char **why) {
  static _Thread_local Trap trap;
  if (width < 1 || height < 1 || (channels != 1 && channels != 3))
    bug("png_encode: %d x %d, %d channels", width, height, channels);
  png_structp png =
      png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &trap, on_error, on_warning, NULL, on_alloc, on_free);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) out_of_memory("a picture", 0);
  if (setjmp(trap.trap)) {
    *why = trap.text;
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, out, on_bytes, on_flush);
  png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * (size_t)(width * channels));
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  return true;
}

Status png_save(const char *path, int width, int height, int channels, const uint8_t *pixels, Diags *d) {
  NewFile nf;
  StrBuf bytes = {0};
  const char *why;
  if (file_begin(&nf, path, d) != ST_OK) return ST_FILE;
  bool made = png_encode(&bytes, width, height, channels, pixels, &why);
  if (made) {
    fwrite(bytes.s, 1, bytes.n, nf.f);
  } else {
    diag_error(d, NULL, "cannot write %s: %s", path, why);
    file_abort(&nf);
  }
  sb_free(&bytes);
  return made ? file_commit(&nf, d) : ST_FILE;
}
