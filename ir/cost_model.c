/* The values of cost models and where they come from. "The Xeon": 2 cores of an Intel Xeon (Sapphire Rapids
   class, AVX-512, 32 KiB L1 and 1 MiB L2 counted a core), November 2026; figures are in docs/laboratory.md. */
#include "ir/cost_model.h"

const CostModel cost_xeon = {
    .name = "xeon",

    /* Products of the narrow model, 130-176 GFLOP/s, and the elementwise passes of the flagship, 17-25 GB/s. */
    .flop_seconds = 1 / 1.4e11,
    .byte_seconds = 1 / 2.5e10,

    /* Two FMA and two load ports, FMA latency four; loads and streams fitted to tiles of conv_bench
       (--set resnet18). */
    .tile_fmas = 2,
    .tile_load = 0.55,
    .tile_latency = 4,
    .tile_stream = 0.35,

    /* gemm_bench, shapes of attention, of the narrow model, of the flagship. */
    .gemm_dot_extent = 4,
    .gemm_short_k = 16,
    .gemm_copy_rows = 128,
    .gemm_element_work = 16,
    .gemm_chunk_work = 1 << 19,
    .gemm_chunks = 8,
    .gemm_many_work = 1 << 28,
    .gemm_pack_work = 1 << 14,
    .gemm_b_near = 0.5,
    .gemm_b_copy = 1.5,
    .gemm_b_transpose = 5,
    .gemm_a_near = 0.3,
    .gemm_a_copy = 1.5,
    .gemm_far = 16,
    .gemm_far_bytes = 32 << 20,
    .gemm_idle = 0.3,

    /* gemm_bench --bf16 yes. */
    .tiles_work = 1 << 9,
    .tiles_chunk_work = 1 << 22,
    .tiles_chunks = 16,
    .tiles_block = 1 << 19,
    .tiles_deep = 4096,
    .tiles_sums = 1 << 19,
    .tiles_step = {20, 290}, /* the second: 256 vdpbf16ps at one a cycle, sums read and written */
    .tiles_line = 4,
    .tiles_turn = 100,
    .tiles_idle = 1,

    /* conv_bench --bf16 yes. */
    .tiles_channels = 16,
    .tiles_chunk_flops = 2e7,
    .tiles_images = 3 << 18,
    .tiles_weights = 1 << 18,
    .tiles_steps = 32,

    /* conv_bench --set resnet18, 64 images. Chunks: enough for 2 to 8 threads. */
    .conv_chunks = 16,
    .conv_chunk_flops = 4e6,
    .conv_group = 16,
    .conv_block_bytes = 24576, /* three quarters of L1 */
    .conv_split_pixels = 64,
    .conv_spill = 8,
    .conv_idle = 2,
    .conv_flops_a_byte = 4,
    .conv_narrow_flops = 100,

    /* conv_bench --set resnet18 and the layers of few channels or small images of the narrow model. */
    .wino_first = {false, true}, /* 2.3 to 2.8 times the f32 rate, pairs at most 2 */
    .wino_waste = {2, 1.2},
    .wino_tiles = 32,
    .wino_channels = 16,
    .wino_block_least = 12,
    .wino_block_near = 24,
    .wino_block_products = 1008,
    .wino_stationary = 128,
    .wino_dw_least = 48,
    .wino_dw_most = 96,
    .wino_dw_products = 16,
    .wino_dw_split = 4,
    .wino_in_place_tiles = 8,
    .wino_in_place_chunks = 64,

    /* Steps of the flagship, batch 32 and 64. again: its ReLU gradients, 5 % less traffic of loop kernels. */
    .fuse_heavy = 24,
    .fuse_long_row = 8192,
    .fuse_again = 24,
    .fuse_work = 2048, /* no kernel of the models here has more than 1,700 */
    .loop_chunk_work = 32768,
    .loop_chunks = 64,

    .scatter_chunk_work = 1 << 14,
    .scatter_chunks = 64,

    /* Steps of the flagship at batch 64, where chains save 3 to 8 %. */
    .chain_bytes = 1 << 18,
    .chain_aside = 1 << 18,
    .chain_tiles = 16,
    .chain_few_tiles = 4,
    .chain_spill = 0.3,
    .chain_spill_most = 2,
    .chain_weights = 0.1,
    .chain_chunks = 32,
    .chain_loss = 0.6,

    /* The flagship's arena: with no bound it grows. */
    .early_bytes = 1 << 24,

    /* Steps of the flagship at batch 64. */
    .split_elements = 1 << 16,
    .split_inside = 16,
    .split_images = 8,
    .remat_bytes = 1 << 18,
    .remat_cheap_flops = 40, /* between the flagship's stem, 14, and its other convolutions, 288 */

    /* Below it a cast of its own costs as much as it saves. */
    .bf16_elements = 1024,
};
