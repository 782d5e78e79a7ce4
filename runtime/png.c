/* Writes PNG files with libpng. */
#include "runtime/png.h"
#include "runtime/file.h"

#include <png.h>

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

Status png_save(const char *path, int width, int height, int channels, const uint8_t *pixels, Diags *d) {
  if (width < 1 || height < 1 || (channels != 1 && channels != 3))
    bug("png_save: %d x %d, %d channels", width, height, channels);
  NewFile nf;
  Trap trap = {.text = ""};
  if (file_begin(&nf, path, d) != ST_OK) return ST_FILE;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &trap, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info || setjmp(trap.trap)) {
    diag_error(d, NULL, "cannot write %s: %s", path, info ? trap.text : "out of memory");
    png_destroy_write_struct(&png, info ? &info : NULL);
    file_abort(&nf);
    return ST_FILE;
  }
  png_init_io(png, nf.f);
  png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * (size_t)(width * channels));
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  return file_commit(&nf, d);
}
