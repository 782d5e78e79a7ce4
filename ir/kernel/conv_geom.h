/* Geometry and blocking behind conv_plan(), shared by the planner (ir/kernel/conv_plan.c) and the emitters
   (codegen/conv/). Both derive it from the same ConvSpec and Target, so a plan and its code always agree.
   Offsets count floats unless named bytes. */
#ifndef JEPAC_IR_KERNEL_CONV_GEOM_H
#define JEPAC_IR_KERNEL_CONV_GEOM_H

#include "ir/kernel/conv_plan.h"

enum { CONV_PHASES = 4 }; /* input gradients of larger strides dilate the incoming gradient instead */

/* One dimension of one phase: produced coordinates start + i * step (i < count); the j-th of ntap taps reads
   source coordinate i * source_step + off + j * offstep under kernel position wfirst + j * wstep. */
typedef struct {
  int64_t start, step, count, ntap, wfirst, wstep, off, offstep;
} ConvPhase;

typedef struct {
  int ph, pw, ob; /* a register tile: ph x pw pixels by ob channel vectors */
} ConvTile;

/* How source images reach thread scratch: [cb][rows][cols][ib], or (planar: few row-major channels, one
   block) [ib][rows][cols], with zeros outside the extent. Scratch column j holds source column (lo + j) * sub
   / dil where that is whole and inside. */
typedef struct {
  int64_t c, h, w; /* the source tensor */
  int block;
  bool bf16;       /* widened on the way */
  int64_t ib, icb; /* scratch channel block and number of blocks */
  int64_t lo[2], sub[2], dil[2];
  int64_t rows, cols;
  bool planar;
  bool in_place; /* no copy: channel-blocked f32 of which every pixel is read by one tap at most */
} ConvFill;

/* Channels of a group of the source and of the produced tensor (weight gradient: of x and y). Groups of whole
   vectors are convolutions side by side. Else a vector of produced channels holds several, and the channel
   each lane takes from its group (the j-th, for j < in) comes from the source's vector of the same number by
   a permutation where a vector of both holds the same groups, or from scratch, where planes j = 0.. hold it. */
typedef struct {
  int64_t in, out;
  bool lanes, permute;
} ConvGroups;

/* Forward and input gradient: each produced pixel gathers taps of a source. */
typedef struct {
  int lanes;
  ConvFill fill;
  int64_t cout, oh, ow, ocb; /* the produced tensor */
  int oblock;
  int64_t source_step[2];
  int nphase[2];
  ConvPhase phase[2][CONV_PHASES];
  ConvTile tile[CONV_PHASES][CONV_PHASES];
  ConvGroups group_of;
  int64_t rcb, source; /* source channel blocks, and channels, a produced block sums over */
  int64_t
      planes; /* lanes of several groups: vectors of scratch a pixel; no tap leaves its columns if padded */
  bool padded;
  /* A unit of work is a group of images, a band of rows, a range of produced blocks; chunks are `units` of
     them, in this order. */
  int64_t units;
  int64_t band, nband;     /* phase rows */
  int64_t group, ngroup;   /* images together in scratch */
  int64_t kgroup, nkgroup; /* produced channel blocks */
  int64_t image;           /* floats an image, of scratch or in place */
  int64_t out_scratch;     /* floats of scratch an image for a row-major result, else 0 */
} ConvGather;

/* Weight gradient: accumulators [kb][c][r][s][lane] summed over pixel blocks of `images` images by `band`
   rows. */
typedef struct {
  int lanes;
  ConvFill fx, fy; /* fy.rows == 0: read in place */
  int64_t ocb, step[2];
  int64_t images, band, nband, nblock;
  int64_t nsplit, per_split; /* pixel blocks are cut into splits with partial sums of their own */
  int64_t cgroup, ncgroup, kgroup, nkgroup; /* channel blocks a chunk */
  int64_t gk, gc;                           /* blocks of y and x of one group */
  bool flat;                                /* few channels: a register tile runs over (channel, tap) pairs */
  bool flat_rows;                           /* ... of all kernel rows, else of one */
  int rb, ob;                               /* register tile: rb broadcast values by ob vectors */
  int64_t acc;                              /* floats of one split's accumulators */
  ConvGroups group_of;
  /* Lanes of several groups: a register tile is rb kernel rows by sb columns by jb channels of a group, and
     `width` columns of a row at a time feed it. */
  int64_t planes, width;
  bool padded;
  int sb, jb;
} ConvWgrad;

/* Winograd: tiles of 4x4 (DX of stride 2: 8x8) produced pixels from a patch of source pixels, points x points
   planes of products. Stride 1 is F(4x4,3x3) with 6 points a dimension; stride 2 splits a dimension's taps
   into the outer two, F(4,2) with 5 points, and the middle one, 4 plain products; an image of 2x2 pixels is a
   tile of its own with 3 points, one of 4x4 under stride 2 with the 5 taps that meet pixels. V[planes][block
   / vgroup][icb][vgroup][lane] holds transformed source tiles, U[planes][ocb][cin][lane] transformed weights. */
typedef enum { WINO_4X3, WINO_STRIDE2, WINO_2X2, WINO_STRIDE2_4X4 } WinoForm;
typedef struct {
  WinoForm form;
  int lanes;
  int points, planes;
  int patch, source_tile, out_tile; /* source pixels a tile needs, their distance from tile to tile, produced
                                       pixels: a dimension */
  int gradient_tile;                /* DW: pixels of the incoming gradient a tile has */
  int64_t n, cin, cout, icb, ocb;   /* forward: c, k; input gradient: k, c; weight gradient: c, k */
  int64_t h, w, oh, ow, pad;        /* source and produced images */
  int64_t th, tw, tiles;            /* tile rows and columns of an image; tiles of all images */
  int64_t block, nblock;            /* tiles a block */
  int64_t span;                     /* forward, input gradient: tiles a chunk of the main step */
  int64_t
      vgroup; /* tiles that lie together for one channel block: a register tile's, or (DW) all of a block */
  int rb, ob; /* register tile: rb broadcast values by ob vectors */
  int64_t vplane, mplane,
      uplane; /* floats from one plane to the next (mplane: of M, or of the transformed gradient) */
  /* Many weights for few tiles: V of all tiles (DW: and the transformed gradient) goes to memory in a step of
     its own, and a chunk of the main step keeps its share of the transformed weights in scratch. */
  bool stationary;
  bool in_place;             /* few channels: products overwrite the V they come from, all in L1 */
  int64_t fill_group;        /* stationary: channel blocks a chunk of the transforming step */
  int64_t cgroup, kgroup;    /* DW: channel blocks a chunk accumulates */
  int64_t nsplit, per_split; /* DW, not stationary: ranges of blocks with partial sums of their own */
  bool source16, gradient16, result16; /* stored as bf16 (gradient: DW's incoming one) */
  int64_t work; /* floats of scratch for edge patches and between the passes of a transform */
} ConvWino;

/* On tiles of bf16. Forward and input gradient: a chunk copies its images (or a band of one) to zero-padded scratch
   [group of nb images][32 channels][row][column of one residue][image][channel], so that the rows of a tile, pq
   pixels of nb images, are always 64 bytes apart; then 2 x 2 tiles of sums run over channels and taps. */
typedef struct {
  ConvGather g;                /* phases; fill: lo, sub, rows; band, group and units */
  int64_t cin, cout, icb, ocb; /* icb: blocks of 32 source channels; ocb: tiles of 16 produced ones */
  int64_t nb, pq[CONV_PHASES], qt[CONV_PHASES]; /* by phase of columns: pixels a tile, tiles a row */
  int64_t step, half;                           /* residues of columns, columns of each */
  int64_t pitch, plane, image; /* elements a scratch row, 32 channels, a group of nb images */
  int64_t panel;               /* elements of weights of 32 produced channels */
} ConvTiles;
enum { CONV_TAPS = 64 }; /* of a kernel on tiles, at most */
enum { CONV_PAIR_COLUMNS, CONV_PAIR_ROWS, CONV_PAIR_IMAGES };
/* Which two tiles share a pass over the weights. */
int conv_tiles_pair(const ConvTiles *c, int a, int b);
const char *conv_not_on_tiles(const ConvSpec *s, const Target *t); /* why; NULL: it is */
void conv_tiles(const ConvSpec *s, const Target *t, ConvTiles *c);

/* Weight gradient: sums over pixels, TILE_DEEP of them at a time: pq pixels of a row of nb images, in pairs of images.
   A chunk brings a block of images and rows into scratch, x as [group of nb images][16 channels][row][column of one
   residue][pair][channel], y as [16 channels][step][channel][pixel and image], and adds to the 2 x 2 tiles of sums
   [panel of 32 k][panel of 32 c][tap] of its split. */
typedef struct {
  ConvFill fill; /* of x: lo, sub, rows, cols */
  int64_t nb, pq, qt, step, half, pitch, plane, image;
  int64_t images, band, nband, nblock, steps; /* a block of pixels; steps of TILE_DEEP */
  int64_t nsplit, per_split;                  /* blocks a split */
  int64_t panels[2], group[2], ngroup[2];     /* panels of k and of c: all, a chunk, chunks */
  int64_t stride[2];                          /* of x in scratch */
  int64_t acc;                                /* floats a split */
} ConvTilesDw;
void conv_tiles_dw(const ConvSpec *s, const Target *t, ConvTilesDw *c);
/* Few channels on tiles: a row of the kernel is a step of k, the channels of its taps one after another, an even number
   of them with zeros for those that are not there. A chunk copies the rows that a band of produced rows meets to
   scratch, channels last; a tile is pq pixels of a row by 16 produced channels. Weight gradient: steps are TILE_DEEP
   pixels of a row, zeros behind the last; a tile of sums, [kernel row][16 k][16 of (tap, channel)], is of one split. */
typedef struct {
  int64_t channels, pairs;        /* of a pixel in scratch; of a kernel row */
  int64_t pq, qt;                 /* pixels a tile or step; of these a row */
  int64_t inside;                 /* columns of x that some tap meets */
  int64_t pitch, rows, scratch;   /* elements of a scratch row; rows; bytes of all scratch */
  int64_t band, nband, steps;     /* produced rows at a time; of an image; steps of a band */
  int64_t ocb, cb;                /* tiles of produced channels; of (tap, channel) */
  int64_t units;                  /* bands a chunk of the forward pass */
  int64_t nsplit, per_split, acc; /* bands a split; floats of a split's sums */
} ConvFew;
bool conv_is_few(const ConvSpec *s);
void conv_few(const ConvSpec *s, const Target *t, ConvFew *f);
void conv_few_plan(const ConvSpec *s, const Target *t, ContractionPlan *p);
void conv_few_interp(const ConvSpec *s, const Target *t, const double *x, const double *w, const double *y,
                     double *result);
/* The results of a convolution on tiles, to the last bit (conv_tiles_interp.c). */
void conv_tiles_interp(const ConvSpec *s, const Target *t, const double *x, const double *w, const double *y,
                       double *result);
/* Where [i][j][y][x] lies in a tensor of that many channels, rows and columns, in channel blocks or not. */
static inline int64_t conv_at(int64_t block, int64_t channels, int64_t h, int64_t w, int64_t i, int64_t j,
                              int64_t y, int64_t x) {
  if (!block) return ((i * channels + j) * h + y) * w + x;
  return (((i * (channels / block) + j / block) * h + y) * w + x) * block + j % block;
}
void conv_tiles_plan(const ConvSpec *s, const Target *t, ContractionPlan *p);

double conv_flops(const ConvSpec *s);
/* Phases of forward pass or input gradient; the scratch extent along d that `count` phase positions need. */
void conv_phases(const ConvSpec *s, ConvGather *g);
int64_t conv_extent(ConvGather *g, int d, int64_t count);

bool conv_wino_fits(const ConvSpec *s, const Target *t); /* can and should run as Winograd */
void conv_wino(const ConvSpec *s, const Target *t, ConvWino *g);
void conv_gather(const ConvSpec *s, const Target *t, ConvGather *g);
void conv_wgrad(const ConvSpec *s, const Target *t, ConvWgrad *g);

ConvGroups conv_groups(const ConvSpec *s, int lanes);

/* Columns [0, count) of a phase in tiles of `width`: `left` tiles some of whose taps may lie outside the
   `size` source columns, then `middle` ones whose taps are all inside, then the rest as at first. */
typedef struct {
  int64_t width, left, middle;
} ConvColumns;
ConvColumns conv_columns(const ConvPhase *p, int64_t source_step, int64_t size, int64_t width);

/* Floats of scratch from one channel of a block, pixel of a row, row to the next. */
static inline int64_t fill_channel(const ConvFill *f) { return f->planar ? f->rows * f->cols : 1; }
static inline int64_t fill_pixel(const ConvFill *f) { return f->planar ? 1 : f->ib; }
static inline int64_t fill_row(const ConvFill *f) { return f->cols * fill_pixel(f); }

#endif
