/* Tiles of bf16 and how they multiply: to a 16 x 16 tile of f32 is added the product of a 16 x 32 tile by a 32 x 16
   one, whose elements lie in pairs of k, by AMX's tdpbf16ps or by 256 vdpbf16ps. Every kernel that uses tiles sums k
   in order, TILE_DEEP at a time, from zero: blocks, chunks and tails change no bit. */
#ifndef JEPAC_IR_KERNEL_TILES_H
#define JEPAC_IR_KERNEL_TILES_H

#include "ir/target.h"

enum {
  TILE_ROWS = 16,
  TILE_COLS = 16,
  TILE_DEEP = 32,   /* elements of k */
  TILE_BYTES = 1024 /* of each kind of tile */
};

/* Reasons against tiles that products and convolutions share. */
extern const char tiles_none[], tiles_f32[];

/* What the unit is called where people read it. */
const char *tiles_name(Tiles t);
/* c + a[0..n) b[0..n), n <= TILE_DEEP, as the unit computes it; everything that goes in or comes out is flushed to
   zero where it is denormal. AMX: even and odd elements apart, each by fused multiply-adds from zero, then
   c + (even + odd). Pairs: fused multiply-adds to c, of each pair the odd element first. */
float tiles_add(Tiles t, float c, const float *a, const float *b, int64_t n);
/* All of n: the element of a result. */
float tiles_sum(Tiles t, const float *a, const float *b, int64_t n);

#endif
