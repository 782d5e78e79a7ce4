/* The table of fuzz targets, and files in memory for readers that take a path. */
#define _GNU_SOURCE /* memfd_create */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const FuzzTarget fuzz_targets[] = {
    {"model", fuzz_model, 4096, "a model file, through all passes and lowering"},
    {"graph", fuzz_graph, 12288, "a graph in text form, printed and read again"},
    {"program", fuzz_program, 12288, "a program of kernels in text form, printed and read again"},
    {"safetensors", fuzz_safetensors, 2048, "a tensor file"},
    {"checkpoint", fuzz_checkpoint, 6144, "the information in a checkpoint"},
    {"npy", fuzz_npy, 1024, "a .npy file, as a tensor and as an array of the data sources"},
    {"idx", fuzz_idx, 1024, "an IDX file, gzipped or not"},
    {"cifar", fuzz_cifar, 8192, "CIFAR-100 as records or as an archive"},
    {"stl", fuzz_stl, 4096, "the files of STL-10: classes, labels and folds"},
    {"tar", fuzz_tar, 4096, "a member of a tar archive"},
    {"npz", fuzz_npz, 4096, "a member of an npz file, mapped and unpacked"},
    {"picture", fuzz_picture, 4096, "a JPEG or PNG picture"},
    {"runlog", fuzz_runlog, 2048, "run.jsonl of a run that is resumed"},
    {"cache", fuzz_cache, 1024, "an entry of the object cache"},
    {"api", fuzz_api, 1024, "calls of libjepac, well and badly ordered"},
    {0},
};

const FuzzTarget *fuzz_find(const char *name) {
  for (const FuzzTarget *t = fuzz_targets; t->name; t++)
    if (!strcmp(t->name, name)) return t;
  return NULL;
}

void fuzz_failed(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
  abort();
}

static void put_all(int fd, const uint8_t *data, size_t n) {
  while (n) {
    ssize_t k = write(fd, data, n);
    FUZZ_CHECK(k > 0);
    data += k;
    n -= (size_t)k;
  }
}

const char *fuzz_file(int slot, const uint8_t *data, size_t n) {
  static int fd[2] = {-1, -1};
  static char path[2][32];
  FUZZ_CHECK(slot == 0 || slot == 1);
  if (fd[slot] < 0) {
    FUZZ_CHECK((fd[slot] = memfd_create("input", 0)) >= 0);
    snprintf(path[slot], sizeof path[slot], "/proc/self/fd/%d", fd[slot]);
  }
  FUZZ_CHECK(!ftruncate(fd[slot], 0) && !lseek(fd[slot], 0, SEEK_SET));
  put_all(fd[slot], data, n);
  return path[slot];
}

static char folder[64];

static void remove_folder(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  if (system(command)) perror(folder);
}

const char *fuzz_folder(void) {
  if (folder[0]) return folder;
  snprintf(folder, sizeof folder, "%s/jepac-fuzz.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
  FUZZ_CHECK(mkdtemp(folder) != NULL);
  atexit(remove_folder);
  return folder;
}

void fuzz_put(const char *name, const uint8_t *data, size_t n) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  FUZZ_CHECK(fd >= 0);
  put_all(fd, data, n);
  close(fd);
}
