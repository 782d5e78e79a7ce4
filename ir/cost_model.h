/* What decisions assume of a machine, as one struct of named numbers a target. A row of the table of targets
   (ir/targets.def) names its model; ir/cost_model.c has the values and what each was fitted to. Results do
   not change with the numbers that cut work into chunks of the same sums; those of products and convolutions
   decide the order of sums, so a model is part of a program's numeric identity. Limits of arrays and the like
   are no business of a machine and stay where the arrays are. */
#ifndef JEPAC_IR_COST_MODEL_H
#define JEPAC_IR_COST_MODEL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct CostModel {
  const char *name;

  /* ---- a thread ---- */
  double flop_seconds, byte_seconds; /* of arithmetic; of traffic with memory */

  /* ---- a step of a register tile's reduction, in cycles (tile_cycles) ---- */
  double tile_fmas;    /* multiply-adds a cycle */
  double tile_load;    /* a load */
  double tile_latency; /* of a multiply-add: no step is shorter */
  double tile_stream;  /* more for a vector that comes from L2 */

  /* ---- matrix products (ir/kernel/gemm_plan.c) ---- */
  int64_t gemm_dot_extent;   /* rows or columns up to which sums run along k, a vector of it at a time */
  int64_t gemm_short_k;      /* elements of k up to which operands are read in place, wherever they lie */
  int64_t gemm_copy_rows;    /* rows a copied panel of B must serve */
  int64_t gemm_element_work; /* multiply-adds in the time of reading an element from far */
  int64_t gemm_chunk_work;   /* multiply-adds worth a chunk */
  int64_t gemm_chunks;       /* and so many chunks at most, a power of two */
  int64_t gemm_many_work;    /* multiply-adds from which there are twice as many */
  int64_t gemm_pack_work;    /* elements a chunk of the pack step */
  double gemm_b_near, gemm_b_copy, gemm_b_transpose; /* cycles a vector of B: in place, copied, transposed */
  double gemm_a_near, gemm_a_copy;                   /* cycles a vector of A */
  double gemm_far;                                   /* cycles more where it comes from memory, */
  int64_t gemm_far_bytes;                            /* as operands beyond this size do */
  double gemm_idle; /* loss where there are no chunks at all; a share of it where there are too few */

  /* ---- products on tiles of bf16 (ir/kernel/gemm_tiles.c) ---- */
  int64_t tiles_work;       /* of a product worth tiles: multiply-adds, at least */
  int64_t tiles_chunk_work; /* multiply-adds worth a chunk */
  int64_t tiles_chunks;     /* at most, a power of two */
  int64_t tiles_block;      /* bytes of a chunk's rows, all of k: stay in L2 */
  int64_t tiles_deep;       /* elements of k in a block, where k is cut */
  int64_t tiles_sums;       /* bytes of a chunk's sums then */
  double tiles_step[2];     /* cycles of a product of two tiles: by AMX, by pairs */
  double tiles_line;        /* cycles of a line that comes from L3 */
  double tiles_turn;        /* cycles of a tile that is transposed */
  double tiles_idle;        /* loss where there are no chunks; a share of it where there are too few */

  /* ---- convolutions on tiles (ir/kernel/conv_tiles.c) ---- */
  int64_t tiles_channels;   /* of either side, at least */
  double tiles_chunk_flops; /* worth a chunk */
  int64_t tiles_images;     /* bytes of a chunk's copy of its images, at most */
  int64_t tiles_weights;    /* bytes of weights that more images should share */
  int64_t tiles_steps; /* weight gradient: products of tiles between two visits of their sums, at least */

  /* ---- convolutions (ir/kernel/conv_plan.c) ---- */
  int64_t conv_chunks;       /* chunks of a large one */
  double conv_chunk_flops;   /* worth a chunk */
  int64_t conv_group;        /* images at most that share a pass over many weights */
  int64_t conv_block_bytes;  /* weight gradient: of L1, for a block of pixels */
  int64_t conv_split_pixels; /* weight gradient: of a part with sums of its own, at least */
  /* Weight gradient, as bytes moved: again for accumulators beyond half of L2; for too few chunks; flops in the
     time of a byte; flops in the time of a byte lost where register tiles are narrow. */
  double conv_spill, conv_idle, conv_flops_a_byte, conv_narrow_flops;

  /* ---- Winograd ---- */
  bool wino_first[2];          /* at stride 1 it is faster in f32 than bf16 on tiles of AMX; by pairs */
  double wino_waste[2];        /* pixels of whole tiles to pixels wanted, at most: stride 1, stride 2 */
  int64_t wino_tiles;          /* of all images, at least */
  int64_t wino_channels;       /* of either side, at least */
  int64_t wino_block_least;    /* tiles a block, where cutting finer gives every thread some */
  int64_t wino_block_near;     /* tiles a block, where L2 has no room for more */
  int64_t wino_block_products; /* tiles times planes a block, at most */
  int64_t wino_stationary;     /* tiles a block where weights stay and tiles pass */
  int64_t wino_dw_least, wino_dw_most; /* tiles a block of the weight gradient */
  int64_t wino_dw_products; /* weight gradient: accumulators stay in a chunk below so many tiles a weight */
  int64_t wino_dw_split;    /* weight gradient: transformed values read a partial sum, at least, per weight */
  int64_t wino_in_place_tiles;  /* tiles a register tile, where products overwrite what they come from */
  int64_t wino_in_place_chunks; /* and the chunks then */

  /* ---- fusion and loops (passes/lower/fuse.c, loop_*.c) ---- */
  double fuse_heavy;      /* operations an element that are not repeated in a second kernel */
  int64_t fuse_long_row;  /* elements of a row that is reduced in a kernel of its own */
  int fuse_again;         /* operations an element repeated to save a read */
  int64_t fuse_work;      /* operations a kernel has code generated for, at most */
  double loop_chunk_work; /* points times instructions worth a chunk */
  int64_t loop_chunks;    /* at most */

  /* ---- scatter (ir/kernel/scatter.c) ---- */
  double scatter_chunk_work; /* elements read and written worth a chunk */
  int64_t scatter_chunks;    /* at most */

  /* ---- chains (passes/lower/chain.c); losses are shares of the chain's time ---- */
  int64_t chain_bytes;     /* of the largest operand of a kernel worth a place in a chain */
  int64_t chain_aside;     /* bytes a kernel may write and still move in front of a chain it has no part in */
  int64_t chain_tiles;     /* Winograd tiles a chunk, at least */
  double chain_few_tiles;  /* loss is this over the tiles a chunk */
  double chain_spill;      /* loss for each half of L2 that a chunk's data takes beyond the first */
  double chain_spill_most; /* ... counted so many times at most */
  double chain_weights;    /* loss for weights read by each chunk, over its data */
  int64_t chain_chunks;    /* so many are enough to share out */
  double chain_loss;       /* with more than this kernels stay apart */

  /* ---- order (passes/lower/interleave.c) ---- */
  int64_t early_bytes; /* a step that writes less may come before its turn */

  /* ---- graph passes ---- */
  int64_t split_elements, split_inside, split_images; /* of a sum worth cutting: all, an image's, images */
  int64_t remat_bytes;                                /* of a value worth computing again */
  double remat_cheap_flops; /* of a product, a byte of its result, that is cheaply computed again */

  /* ---- bf16 (passes/lower/precision.c) ---- */
  int64_t bf16_elements; /* of a value worth rounding */
} CostModel;

/* Graph passes come before a target is chosen and take theirs from here; so far all targets share it. */
extern const CostModel cost_xeon;

/* Cycles of one step of the reduction for a register tile of rows broadcast values by vecs vectors. */
static inline double tile_cycles(const CostModel *c, int64_t rows, int64_t vecs) {
  double fma = (double)(rows * vecs) / c->tile_fmas, load = (double)(rows + vecs) * c->tile_load,
         most = fma > load ? fma : load;
  return (most < c->tile_latency ? c->tile_latency : most) + c->tile_stream * (double)vecs;
}

#endif
