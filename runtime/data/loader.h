/* Batches prepared ahead by threads of their own. Batch k is a pure function of (data, seed, k): it does not
   depend on the number of threads or on what was loaded before, so a resumed run sees exactly the samples it
   would have seen. */
#ifndef JEPAC_RUNTIME_DATA_LOADER_H
#define JEPAC_RUNTIME_DATA_LOADER_H

#include "ir/recipe.h"

typedef struct Loader Loader;
/* folder: --data, or NULL for where the data set is installed. NULL after reporting, with *st set (ST_FILE:
   files, ST_MODEL: settings). The spec must outlive the loader. */
Loader *loader_open(const DataSpec *spec, const char *folder, int64_t batch, uint64_t seed, bool train,
                    Diags *d, Status *st);
/* The same, but every sample comes in each epoch: the last batch may be short (loader_rows) and repeats its last sample in
   the rows behind. The batch may be larger than the data. */
Loader *loader_open_all(const DataSpec *spec, const char *folder, int64_t batch, uint64_t seed, bool train,
                        Diags *d, Status *st);
void loader_close(Loader *l);

/* How many samples a part has. */
int64_t loader_count(const DataSpec *spec, const char *folder, bool train, Diags *d, Status *st);

/* Before the first batch: samples in file order instead of a fresh permutation an epoch; number of threads
   (default 1). */
void loader_configure(Loader *l, bool sequential, int threads);
/* Before the first batch, when only the first n samples of an epoch will be read: an epoch's permutation is of
   the same n. Where files lie class by class they are spread evenly over the files, so that every class has
   its part. */
void loader_take(Loader *l, int64_t n);

/* Before the first batch: only the which-th of so many equal shares of each batch is read. */
void loader_share(Loader *l, int which, int of);

/* Before the first batch: of so many batches one after the other only the which-th. */
void loader_every(Loader *l, int which, int of);

int64_t loader_size(const Loader *l);            /* samples */
int64_t loader_steps_per_epoch(const Loader *l); /* batches; without _all whole ones, the rest is left out */
/* Of the batch that loader_next gave: how many rows count, and the number of each one's sample in its part. */
int64_t loader_rows(const Loader *l);
const int64_t *loader_samples(const Loader *l);
/* The file or folder of a sample; NULL where the source has none. */
const char *loader_name(const Loader *l, int64_t sample);
/* What class k is called; NULL where the source does not say. */
const char *loader_class(const Loader *l, int64_t k);

/* Of what the data are: extents, labels, and a few samples spread over all of them. Before the first batch. */
uint64_t loader_hash(Loader *l);

/* The next batch is batch number `step` of the run. */
void loader_seek(Loader *l, int64_t step);
/* Copies the next batch: dst[i] receives field i of the spec, or is NULL when it is not wanted. The fields
   wanted in the first call are those that are prepared; later calls may want fewer. ST_FILE after reporting a
   sample that cannot be read, to the Diags the loader was opened with. */
Status loader_next(Loader *l, void *const *dst);

double loader_waited(const Loader *l); /* seconds spent in loader_next waiting for a batch, in all */
/* Samples that could not be read and were replaced, as the setting skip_bad allows; loader_close warns of
 * them. */
int64_t loader_skipped(const Loader *l);

#endif
