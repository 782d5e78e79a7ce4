/* Values between files, sessions and the interpreter. */
#ifndef JEPAC_LIB_TENSORS_H
#define JEPAC_LIB_TENSORS_H

#include "lib/compiler.h"

/* A session's tensor by kind and name, and where it lies; NULL when absent. */
const PlanTensor *tensors_find(const Session *s, PlanTensorKind kind, const char *name, void **data);
/* Sets a run-time number (seed, step, ...); those the program does not read are ignored. */
void tensors_set_number(Session *s, const char *name, int64_t value);

/* Copies n elements between types of one family (float, integer, bool); false when they differ or a value
   does not fit. */
bool tensors_convert(DType to, void *dst, DType from, const void *src, int64_t n);
bool tensors_same_family(DType a, DType b);
/* The first of n elements that does not fit the other type of its family, or -1. */
int64_t tensors_misfit(DType to, DType from, const void *src, int64_t n);
void tensors_to_f64(double *dst, DType from, const void *src, int64_t n);
/* As cells of type `to` (ir/type.h), of the same family; and back from cells of type t. */
void tensors_to_cells(double *dst, DType to, DType from, const void *src, int64_t n);
void tensors_from_cells(DType t, void *dst, const double *src, int64_t n);

/* A session without steps that only stores g's inputs, states initialized from seed: the interpreter's
   memory. NULL after reporting. */
Session *tensors_store(Compiler *c, const Graph *g, uint64_t seed);

/* ---- states from and to .safetensors files ---- */
/* Do the file's tensors fit the states g reads? Parameters and buffers must all be there (optimizer slots may
   be missing) with the same extents and a type of the same family; a tensor the model has no state for, here
   or in another entry, is an error. m NULL: there is only g. */
Status states_check(Compiler *c, Model *m, const Graph *g, const StFile *f);
/* Parameters and buffers of a training step from the file; slots begin anew, and what is a copy of a state that
   was given and is not given itself is copied again. missing_ok: states the file lacks keep their initial values and
   tensors the model lacks are passed over, which a warning counts; else either is an error, as in states_check. */
Status states_start(Compiler *c, Model *m, const Graph *g, Session *s, const StFile *f, bool missing_ok);
/* Copies the tensors the session has states for; returns how many. */
int states_copy(Session *s, const StFile *f);
Status states_save(const Session *s, const char *path, Diags *d);

#endif
