/* unload LIBRARY MODEL ROUNDS: a program that loads libjepac, trains two steps with it and unloads it, again and again.
   Memory, open files and threads must not grow. */
#define _GNU_SOURCE
#include "include/jepac.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int entries(const char *folder) {
  DIR *d = opendir(folder);
  int n = 0;
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static long resident(void) { /* KiB */
  char line[256];
  long n = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f)) sscanf(line, "VmRSS: %ld", &n);
  if (f) fclose(f);
  return n;
}

#define GET(NAME) (*(void **)(&NAME) = dlsym(lib, "jepac_" #NAME))

static int one_round(const char *library, const char *path) {
  jepac_model *(*load_file)(const char *, const jepac_options *);
  jepac_session *(*compile)(jepac_model *, const char *, int);
  jepac_status (*run)(jepac_session *);
  void (*init)(jepac_session *, uint64_t), (*session_free)(jepac_session *), (*model_free)(jepac_model *);
  const char *(*message)(jepac_model *);
  void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!lib) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  if (!GET(load_file) || !GET(compile) || !GET(run) || !GET(init) || !GET(session_free) || !GET(model_free) ||
      !GET(message))
    return 1;
  jepac_model *m = load_file(path, &(jepac_options){.threads = 2, .cache_dir = getenv("JEPAC_CACHE")});
  jepac_session *s = compile(m, "train_step", 0);
  int failed = !s;
  if (s) init(s, 1);
  for (int i = 0; i < 2 && !failed; i++) failed = run(s) != JEPAC_OK;
  if (failed) fprintf(stderr, "%s", message(m));
  session_free(s);
  model_free(m);
  if (dlclose(lib)) return 1;
  return failed;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int rounds = atoi(argv[3]), warm = rounds / 5 > 5 ? rounds / 5 : 5, files = 0, threads = 0;
  long memory = 0;
  for (int i = 0; i < rounds; i++) {
    if (one_round(argv[1], argv[2])) return 1;
    if (i == warm)
      memory = resident(), files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  }
  int left = dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != NULL;
  printf("%d rounds; from round %d on %ld KiB more resident, %d open files and %d threads more; the library "
         "%s\n",
         rounds, warm, resident() - memory, entries("/proc/self/fd") - files,
         entries("/proc/self/task") - threads, left ? "stays loaded" : "is gone");
  return resident() - memory > 2048 + 4 * rounds || entries("/proc/self/fd") > files ||
         entries("/proc/self/task") > threads;
}
