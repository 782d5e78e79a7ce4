/* Fuzz targets: what reads bytes from outside, each as one function. tests/fuzz/libfuzzer.c hands it to libFuzzer
   (scripts/fuzz), tests/fuzz/replay.c runs the kept inputs in every build. */
#ifndef JEPAC_TESTS_FUZZ_FUZZ_H
#define JEPAC_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "ir/base.h"

typedef struct {
  const char *name;
  void (*run)(const uint8_t *data, size_t n); /* any input is fine; a fault crashes or calls abort */
  size_t most;                                /* bytes an input may have */
  const char *doc;
} FuzzTarget;

extern const FuzzTarget fuzz_targets[]; /* ends with a NULL name */
const FuzzTarget *fuzz_find(const char *name);

/* The bytes as a file, from its start; valid until the next call with this slot (0 or 1). Every slot is one file
   in memory. */
const char *fuzz_file(int slot, const uint8_t *data, size_t n);
/* A folder in memory (or $TMPDIR), made at the first call, for readers that look up names in it. */
const char *fuzz_folder(void);
void fuzz_put(const char *name, const uint8_t *data, size_t n); /* a file of that folder */

#define FUZZ_CHECK(C) ((C) ? (void)0 : fuzz_failed(#C, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *what, const char *file, int line);

void fuzz_model(const uint8_t *data, size_t n), fuzz_graph(const uint8_t *data, size_t n),
    fuzz_program(const uint8_t *data, size_t n);
void fuzz_safetensors(const uint8_t *data, size_t n), fuzz_checkpoint(const uint8_t *data, size_t n),
    fuzz_npy(const uint8_t *data, size_t n), fuzz_idx(const uint8_t *data, size_t n),
    fuzz_cifar(const uint8_t *data, size_t n), fuzz_stl(const uint8_t *data, size_t n),
    fuzz_tar(const uint8_t *data, size_t n), fuzz_npz(const uint8_t *data, size_t n),
    fuzz_picture(const uint8_t *data, size_t n), fuzz_runlog(const uint8_t *data, size_t n),
    fuzz_cache(const uint8_t *data, size_t n);
void fuzz_api(const uint8_t *data, size_t n);

#endif
