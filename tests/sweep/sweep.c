/* Sweeps: random graphs and model files, each with one variant drawn for it (sweep.h). Every case runs in a child forked from
   this process, which has the compiler loaded; what fails is kept, and graphs are made smaller (models: jepac reduce).
     sweep [--count N] [--first SEED] [--only VARIANT] [--keep DIR]    ends with 1 when a case failed
     sweep --check VARIANT DRAW FILE                                   one variant on a file
     sweep --print VARIANT SEED                                        what is drawn                                        */
#define _GNU_SOURCE /* mkdtemp, nftw */
#include "tests/sweep/sweep.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codegen/codegen.h"
#include "tests/unit/graph_gen.h"
#include "tests/unit/model_gen.h"

enum { CPU_SECONDS = 120, SECONDS = 1800, MOST_VARIANTS = 32, EVERY = 100, SHOWN = 300 };

typedef struct {
  int64_t count, first;
  const char *only, *keep, *self;
} Sweep;

int64_t case_draw(Case *c, int64_t n) { /* splitmix64 */
  uint64_t z = (c->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (int64_t)((z ^ (z >> 31)) % (uint64_t)n);
}

static const Variant *find(const char *name) {
  const Variant *v = variants;
  while (v->name && strcmp(v->name, name)) v++;
  if (v->name) return v;
  fprintf(stderr, "sweep: no variant %s; there are", name);
  for (v = variants; v->name; v++) fprintf(stderr, " %s", v->name);
  fprintf(stderr, "\n");
  exit(ST_USAGE);
}

static int count_variants(void) {
  int n = 0;
  while (variants[n].name) n++;
  return n;
}

/* ---- drawing ---- */
static void print_case(const Variant *v, uint64_t seed, FILE *f) {
  Case c = {.state = seed * 31 + 7};
  int size = 3 + (int)case_draw(&c, v->kind == OF_MODEL ? 12 : 20), kind = (int)case_draw(&c, 4);
  if (v->kind == OF_MODEL) {
    ModelText t = model_gen(seed, size);
    fputs(t.text, f);
    free(t.text);
    return;
  }
  uint64_t from = kind == 0                           ? GRAPH_GEN_WIDE
                  : v->kind == OF_SPECIAL && kind > 1 ? GRAPH_GEN_SPECIAL
                                                      : GRAPH_GEN_ALL;
  Arena *a = arena_new();
  StrBuf b = {0};
  graph_print(graph_gen(a, from + seed, size), &b);
  fwrite(b.s, 1, b.n, f);
  sb_free(&b);
  arena_free(a);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at) {
  (void)st, (void)flag;
  return at->level ? remove(path) : 0;
}

static void empty(const char *folder) { nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* ---- one case, in a process of its own ---- */
/* Standard output, and what goes to standard error, into folder/said; what is wrong into folder/why. */
static _Noreturn void child(const Variant *v, const char *folder, const char *file, uint64_t draw) {
  char path[512];
  const struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS + 5};
  setrlimit(RLIMIT_CPU, &cpu);
  alarm(SECONDS);
  snprintf(path, sizeof path, "%s/said", folder);
  if (!freopen(path, "w", stdout) || dup2(fileno(stdout), STDERR_FILENO) < 0) _exit(ST_FILE);
  setvbuf(stdout, NULL, _IOLBF, 0);
  Case c = {.a = arena_new(), .file = file, .folder = folder, .state = draw};
  const char *why = v->check(&c);
  if (!why) _exit(0);
  snprintf(path, sizeof path, "%s/why", folder);
  FILE *f = fopen(path, "w");
  if (!f || fputs(why, f) < 0 || fclose(f)) _exit(ST_FILE);
  _exit(1);
}

static void read_text(const char *folder, const char *name, char *text, size_t n) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "r");
  text[0] = 0;
  if (!f) return;
  if (!fseek(f, 0, SEEK_END) && ftell(f) > (long)n) fseek(f, -(long)n + 1, SEEK_END);
  else rewind(f);
  text[fread(text, 1, n - 1, f)] = 0;
  fclose(f);
  for (char *p = text; *p; p++) *p = *p == '\n' ? '|' : *p;
}

/* False: why says what is wrong. */
static bool agrees(const Variant *v, const char *folder, const char *file, uint64_t draw, char why[SHOWN]) {
  fflush(stdout);
  pid_t pid = fork();
  int status = 0;
  if (pid < 0) snprintf(why, SHOWN, "no process: %s", strerror(errno));
  if (pid < 0) return false;
  if (pid == 0) child(v, folder, file, draw);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (!status) return true;
  char text[SHOWN];
  read_text(folder, WIFEXITED(status) && WEXITSTATUS(status) == 1 ? "why" : "said", text, sizeof text - 60);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) snprintf(why, SHOWN, "more than %d s", CPU_SECONDS);
  else if (WIFSIGNALED(status)) snprintf(why, SHOWN, "signal %d: %s", WTERMSIG(status), text);
  else if (WEXITSTATUS(status) == 1) snprintf(why, SHOWN, "%s", text);
  else snprintf(why, SHOWN, "ends with %d: %s", WEXITSTATUS(status), text);
  return false;
}

/* ---- what failed ---- */
typedef struct {
  const Variant *v;
  const char *folder, *trial, *why;
  uint64_t draw;
  time_t until;
} Failure;

/* Messages are alike up to numbers. */
static bool alike(const char *a, const char *b) {
  enum { COMPARED = 24 };
  if (strstr(a, "error") && strstr(b, "error")) a = strstr(a, "error"), b = strstr(b, "error");
  for (int i = 0; i < COMPARED; i++) {
    a += strcspn(a, "abcdefghijklmnopqrstuvwxyz"), b += strcspn(b, "abcdefghijklmnopqrstuvwxyz");
    if (*a != *b) return false;
    if (!*a) return true;
    a++, b++;
  }
  return true;
}

static bool still_fails(void *of) {
  const Failure *f = of;
  char why[SHOWN];
  return time(NULL) < f->until && !agrees(f->v, f->folder, f->trial, f->draw, why) && alike(why, f->why);
}

static void keep(const Sweep *s, const Variant *v, uint64_t seed, uint64_t draw, const char *folder,
                 const char *why) {
  enum { LIMIT = 60 };
  char kept[512], line[2048], file[128], trial[128];
  bool model = v->kind == OF_MODEL;
  mkdir(s->keep, 0777);
  snprintf(file, sizeof file, "%s/%s", folder, model ? "m.jepa" : "g.ir");
  snprintf(trial, sizeof trial, "%s/trial.ir", folder);
  snprintf(kept, sizeof kept, "%s/%s-%llu", s->keep, v->name, (unsigned long long)seed);
  snprintf(line, sizeof line, "cp %s %s%s", file, kept, model ? ".jepa" : ".ir");
  if (system(line)) return;
  printf("  %s --check %s %llu %s%s\n", s->self, v->name, (unsigned long long)draw, kept,
         model ? ".jepa" : ".ir");
  Failure f = {v, folder, trial, why, draw, time(NULL) + LIMIT};
  if (!model && case_smaller(file, trial, still_fails, &f)) {
    snprintf(line, sizeof line, "cp %s %s.small.ir", file, kept);
    if (!system(line)) printf("  smaller: %s.small.ir\n", kept);
  }
}

static int check_file(const char *name, const char *draw, const char *file) {
  char folder[64] = "/tmp/jepac-sweep-XXXXXX", copy[128], line[1024], why[SHOWN];
  const Variant *v = find(name);
  if (!mkdtemp(folder)) return ST_FILE;
  snprintf(copy, sizeof copy, "%s/%s", folder, v->kind == OF_MODEL ? "m.jepa" : "g.ir");
  snprintf(line, sizeof line, "cp %s %s", file, copy);
  bool good = !system(line) && agrees(v, folder, copy, strtoull(draw, NULL, 10), why);
  puts(good ? "agrees" : why);
  empty(folder);
  rmdir(folder);
  return !good;
}

/* ---- all of them ---- */
static void totals(const int *tried, const int *failed) {
  int all = 0, bad = 0;
  for (int i = 0; variants[i].name; i++) {
    printf("%s %d/%d  ", variants[i].name, failed[i], tried[i]);
    all += tried[i], bad += failed[i];
  }
  printf("together %d/%d\n", bad, all);
  fflush(stdout);
}

static double cpu_seconds(void) {
  struct rusage r;
  getrusage(RUSAGE_CHILDREN, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
         1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static int run(const Sweep *s) {
  int tried[MOST_VARIANTS] = {0}, failed[MOST_VARIANTS] = {0}, bad = 0, kinds = count_variants();
  double spent[MOST_VARIANTS] = {0};
  const Variant *only = s->only ? find(s->only) : NULL;
  char folder[64] = "/tmp/jepac-sweep-XXXXXX", file[128], why[SHOWN];
  if (!mkdtemp(folder)) return ST_FILE;
  for (int64_t i = 0; i < s->count; i++) {
    uint64_t seed = (uint64_t)(s->first + i);
    Case c = {.state = seed};
    int which = (int)case_draw(&c, kinds);
    if (only) which = (int)(only - variants);
    uint64_t draw = (uint64_t)case_draw(&c, 1000000);
    const Variant *v = &variants[which];
    snprintf(file, sizeof file, "%s/%s", folder, v->kind == OF_MODEL ? "m.jepa" : "g.ir");
    FILE *f = fopen(file, "w");
    if (!f) return ST_FILE;
    print_case(v, seed, f);
    fclose(f);
    double before = cpu_seconds();
    bool good = agrees(v, folder, file, draw, why);
    spent[which] += cpu_seconds() - before;
    tried[which]++;
    if (!good) {
      failed[which]++, bad++;
      printf("%s %llu: %s\n", v->name, (unsigned long long)seed, why);
      keep(s, v, seed, draw, folder, why);
    }
    empty(folder);
    if ((i + 1) % EVERY == 0) {
      printf("up to seed %llu: ", (unsigned long long)seed);
      totals(tried, failed);
    }
  }
  rmdir(folder);
  for (int i = 0; i < kinds; i++)
    if (tried[i])
      printf("%-13s %6d tried %4d failed  %.2f s of CPU time each  %s\n", variants[i].name, tried[i],
             failed[i], spent[i] / tried[i], variants[i].doc);
  return bad > 0;
}

int main(int argc, char **argv) {
  extern const CodegenApi codegen_api;
  static char self[512];
  Sweep s = {.count = 100, .keep = "build/sweep", .self = self};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return ST_FILE;
  codegen_api.own_process();
  setenv("JEPAC_CACHE", "", 1);
  if (argc == 5 && !strcmp(argv[1], "--check")) return check_file(argv[2], argv[3], argv[4]);
  if (argc == 4 && !strcmp(argv[1], "--print"))
    return print_case(find(argv[2]), strtoull(argv[3], NULL, 10), stdout), 0;
  for (int i = 1; i < argc; i += 2) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(argv[i], "--count")) s.count = atoll(value);
    else if (!strcmp(argv[i], "--first")) s.first = atoll(value);
    else if (!strcmp(argv[i], "--only")) s.only = value;
    else if (!strcmp(argv[i], "--keep")) s.keep = value;
    else
      return fputs("usage: sweep [--count N] [--first SEED] [--only VARIANT] [--keep DIR]\n", stderr),
             ST_USAGE;
  }
  return run(&s);
}
