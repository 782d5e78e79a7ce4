/* Messages: each file of tests/golden/diag, loaded and elaborated as `jepac check` does it, says what stands
   in its .expected. Lines "# --set NAME=VALUE" at its start are settings. With JEPAC_UPDATE_GOLDEN the
   .expected are rewritten (scripts/update-golden). */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "tests/unit/support.h"

enum { MAX_SET = 8 };

static int settings(Arena *a, const Source *src, NameValue *set) {
  static const char mark[] = "# --set ";
  int n = 0;
  for (const char *p = src->text; n < MAX_SET && !strncmp(p, mark, strlen(mark)); n++) {
    p += strlen(mark);
    size_t name = strcspn(p, "=\n"), line = strcspn(p, "\n");
    ck_assert(p[name] == '=');
    set[n] = (NameValue){arena_strndup(a, p, name), arena_strndup(a, p + name + 1, line - name - 1)};
    p += line + 1;
  }
  return n;
}

static void elaborate(Arena *a, Diags *d, const char *path, const FrontendOptions *o) {
  Model *m = frontend_load(a, d, path, o);
  for (int i = 0; m && i < frontend_entry_count(m) && !diags_errors(d); i++)
    frontend_entry(m, d, frontend_entry_name(m, i), true, false);
  if (m && !diags_errors(d) && frontend_recipe(m, diags_new(a))) frontend_train_step(m, d, true);
}

static void check_messages(const char *name) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  const char *path = arena_printf(a, "tests/golden/diag/%s", name);
  const char *expected = arena_printf(a, "%.*s.expected", (int)(strlen(path) - 5), path);
  const Source *src = source_read(a, path);
  ck_assert(src != NULL);
  NameValue set[MAX_SET];
  FrontendOptions o = {.set = set, .nset = settings(a, src, set), .std_dir = "models"};
  elaborate(a, d, path, &o);
  char *said = diags_text(d);
  if (getenv("JEPAC_UPDATE_GOLDEN")) {
    FILE *f = fopen(expected, "w");
    ck_assert(f && fputs(said, f) >= 0 && !fclose(f));
  }
  const Source *want = source_read(a, expected);
  ck_assert_msg(want != NULL, "%s is missing", expected);
  ck_assert_str_eq(said, want->text);
  int errors = 0;
  for (const char *p = said; (p = strstr(p, ": error: ")); p++) errors++;
  ck_assert_int_eq(diags_errors(d), errors);
  ck_assert_msg(errors || strstr(said, ": warning: "), "%s says nothing", name);
  free(said);
  arena_free(a);
}

START_TEST(messages) {
  DIR *dir = opendir("tests/golden/diag");
  ck_assert(dir != NULL);
  int n = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    size_t len = strlen(e->d_name);
    if (len < 6 || strcmp(e->d_name + len - 5, ".jepa")) continue;
    check_messages(e->d_name);
    n++;
  }
  closedir(dir);
  ck_assert_int_ge(n, 95);
}
END_TEST

/* A command that loads a file again does not warn again. */
START_TEST(warnings_come_once) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  FrontendOptions o = {.std_dir = "models"};
  elaborate(a, d, "tests/golden/diag/dead_value.jepa", &o);
  elaborate(a, d, "tests/golden/diag/dead_value.jepa", &o);
  char *said = diags_text(d);
  ck_assert_str_eq(said, source_read(a, "tests/golden/diag/dead_value.expected")->text);
  free(said);
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("diag");
  TCase *t = tcase_create("all");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, messages);
  tcase_add_test(t, warnings_come_once);
  suite_add_tcase(s, t);
  return run_suite(s);
}
