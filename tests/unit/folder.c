/* The fixture of tests that write files (folder.h). */
#define _GNU_SOURCE /* mkdtemp, nftw */
#include "tests/unit/folder.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

Arena *arena;
Diags *diags;
char folder[64];

void setup(void) {
  arena = arena_new();
  diags = diags_new(arena);
  strcpy(folder, "/tmp/jepac-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at) {
  (void)st, (void)flag, (void)at;
  return remove(path);
}

void teardown(void) {
  nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  arena_free(arena);
}

char *in_folder(const char *name) { return arena_printf(arena, "%s/%s", folder, name); }

void expect_message(const char *a, const char *b) {
  char *text = diags_text(diags);
  ck_assert_msg(strstr(text, a) && strstr(text, b), "wanted \"%s\" and \"%s\" in: %s", a, b, text);
  free(text);
  diags = diags_new(arena);
}

void expect_error(const char *a, const char *b) {
  ck_assert_int_eq(diags_errors(diags), 1);
  expect_message(a, b);
}
