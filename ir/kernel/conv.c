/* Convolutions as kernels: steps of conv_plan(). */
#include "ir/kernel/conv_geom.h"
#include "ir/kernel/tiles.h"
#include "ir/memory.h"
#include "ir/kernel/kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const conv_kind_names[3] = {"conv2d", "conv2d_dx", "conv2d_dw"};
const char *const conv_algo_names[CONV_ALGOS] = {"auto", "direct", "winograd", "tiles"};

#define M(NAME) MEMBER(conv.NAME)
static const Field fields[] = {
    {FIELD_STEP, "kind", .member = {M(kind)}, .words = conv_kind_names, .nword = 3},
    {FIELD_WORD, "an algorithm: auto, direct, winograd or tiles", .member = {M(algo)},
     .words = conv_algo_names, .nword = CONV_ALGOS},
    {FIELD_LIST, "x", .member = {M(n), M(c), M(h), M(w), M(xblock)}},
    {FIELD_LIST, "w", .member = {M(k), M(c), M(kh), M(kw)}},
    {FIELD_LIST, "y", .member = {M(n), M(k), M(oh), M(ow), M(yblock)}},
    {FIELD_LIST, "stride", .member = {M(stride[0]), M(stride[1])}},
    {FIELD_LIST, "pad", .member = {M(pad[0]), M(pad[1])}},
    {FIELD_LIST, "dilation", .member = {M(dilation[0]), M(dilation[1])}, .optional = true, .fallback = 1},
    {FIELD_NUMBER, "groups", .member = {M(groups)}, .optional = true, .fallback = 1},
    {FIELD_LIST, "bf16", .member = {M(xbf16), M(wbf16), M(ybf16)}, .optional = true},
    {FIELD_NUMBER, "f16", .member = {M(f16)}, .optional = true},
    {FIELD_NUMBER, "images", .member = {M(images)}, .optional = true},
    {FIELD_NUMBER, "choice", .member = {M(choice)}, .optional = true}};
#undef M

static ContractionPlan plan(const Kernel *k, const Target *t) { return conv_plan(&k->conv, t); }
static int64_t *choice(Kernel *k) { return &k->conv.choice; }
static void settle(const Target *t, Kernel *k) { k->conv = conv_resolve(&k->conv, t); }

static const char *impossible(const Kernel *k, const Target *t) {
  const ConvSpec *s = &k->conv;
  const int64_t x[] = {s->n, s->c, s->h, s->w}, w[] = {s->k, s->c, s->kh, s->kw},
                y[] = {s->n, s->k, s->oh, s->ow};
  if (!extents_possible(x, 4) || !extents_possible(w, 4) || !extents_possible(y, 4))
    return "impossible extents";
  if (s->xblock < 0 || s->xblock > 64 || s->yblock < 0 || s->yblock > 64) return "impossible channel blocks";
  for (int i = 0; i < 2; i++) {
    const int64_t last = (int64_t)1 << 40, reach[] = {w[2 + i], s->dilation[i]},
                  steps[] = {y[2 + i], s->stride[i]};
    if (!extents_possible(reach, 2) || !extents_possible(steps, 2) || s->pad[i] < 0 || s->pad[i] > last ||
        conv_pad_end(s, i) <= -s->stride[i] || conv_pad_end(s, i) > last)
      return "impossible geometry";
  }
  if (s->groups < 1 || s->c % s->groups || s->k % s->groups) return "groups that do not divide the channels";
  if (s->choice < 0 || s->choice >= CHOICES) return "a choice that no schedule has";
  if (s->images && (s->images < 0 || !conv_can_chunk_images(s, t)))
    return "this convolution cannot run in chunks of so many images";
  return NULL;
}

static int64_t elements(const ConvSpec *s, ContractionOperand role) {
  return role == CO_X   ? s->n * s->c * s->h * s->w
         : role == CO_W ? s->k * (s->c / s->groups) * s->kh * s->kw
                        : s->n * s->k * s->oh * s->ow;
}

static bool verify(Check *c, const Kernel *k) {
  const ConvSpec *s = &k->conv;
  const DType narrow = conv_narrow(s), dt[] = {[CO_X] = s->xbf16 ? narrow : DT_F32,
                                               [CO_W] = s->wbf16 ? narrow : DT_F32,
                                               [CO_Y] = s->ybf16 ? narrow : DT_F32};
  ContractionPlan own;
  const ContractionStep *st = &kernel_plan(c->p, k, &own)->step[k->step];
  for (int i = 0; i < k->nbuf; i++) {
    const Buf *b = &c->p->buf.v[k->buf[i]];
    ContractionOperand role = step_operand(st, i);
    if (role > CO_Y) continue;
    if (b->dt != dt[role])
      return kernel_wrong(c, "operand %d of step %s is %s, not %s", i, st->name, dtype_name(b->dt),
                          dtype_name(dt[role]));
    if (b->bytes < elements(s, role) * dtype_size(dt[role]))
      return kernel_wrong(c, "operand %d of step %s is too small", i, st->name);
  }
  return true;
}

/* ---- chunks ---- */
static int64_t chunk_bytes(const Program *p, const Kernel *k, int i) {
  ContractionPlan own;
  const ContractionStep *st = &kernel_plan(p, k, &own)->step[k->step];
  ContractionOperand role = step_operand(st, i);
  if (!st->images || st->images * st->nchunk != k->conv.n || (role != CO_X && role != CO_Y)) return 0;
  return p->buf.v[k->buf[i]].bytes / k->conv.n * st->images;
}

static bool recut(const Program *p, int64_t count, Kernel *k) {
  if (k->conv.n % count) return false;
  k->conv.images = k->conv.n / count;
  ContractionPlan own;
  const ContractionStep *st = &kernel_plan(p, k, &own)->step[k->step];
  return st->images && st->nchunk == count;
}

/* A Winograd block has few tiles; the rows of a tile may want several images. */
static double cut_loss(const Program *p, const Kernel *k) {
  const ConvSpec *s = &k->conv;
  const CostModel *m = p->target.cost;
  ConvAlgo algo = conv_resolve(s, &p->target).algo;
  if (algo == CONV_TILES && conv_is_few(s)) return 0;
  if (algo == CONV_TILES) {
    ConvSpec free = *s;
    ConvTiles cut, whole;
    free.images = 0;
    conv_tiles(s, &p->target, &cut), conv_tiles(&free, &p->target, &whole);
    return cut.nb < whole.nb ? 1e9 : 0;
  }
  if (algo != CONV_WINOGRAD) return 0;
  int64_t tiles = s->images * ((s->oh + 3) / 4) * ((s->ow + 3) / 4);
  return tiles < m->chain_tiles ? 1e9 : m->chain_few_tiles / (double)tiles;
}

/* Winograd multiplies 36 times, with stride 2 81 times, where a plain 3x3 convolution does 144 times. */
static double least_flops(const Program *p, const Kernel *k) {
  if (conv_resolve(&k->conv, &p->target).algo != CONV_WINOGRAD) return k->flops;
  return k->flops * (k->conv.stride[0] == 1 ? 36 : 81) / 144;
}

/* ---- the interpreter ---- */
/* A step that does not multiply hands on what it reads as it is. So a temporary stands for the operand that another
   step makes it from, or into. */
static ContractionOperand stands_for(const ContractionPlan *plan, ContractionOperand role) {
  for (int i = 0; i < plan->nstep && role > CO_Y; i++) {
    const ContractionStep *st = &plan->step[i];
    for (int j = 0; j < st->nout && st->flops == 0; j++) {
      if (st->out[j] == role) return st->in[j];
      if (st->in[j] == role) return st->out[j];
    }
  }
  return role;
}

/* size: the magnitudes of the result's terms are added there, NULL: not wanted. */
static void convolve(const ConvSpec *s, double *x, double *w, double *y, double *size) {
  int64_t cg = s->c / s->groups, kg = s->k / s->groups;
  for (int64_t i = 0; i < s->n; i++)
    for (int64_t o = 0; o < s->k; o++)
      for (int64_t a = 0; a < s->oh; a++)
        for (int64_t b = 0; b < s->ow; b++)
          for (int64_t c = 0; c < cg; c++)
            for (int64_t r = 0; r < s->kh; r++)
              for (int64_t t = 0; t < s->kw; t++) {
                int64_t h = a * s->stride[0] + r * s->dilation[0] - s->pad[0],
                        v = b * s->stride[1] + t * s->dilation[1] - s->pad[1];
                if (h < 0 || h >= s->h || v < 0 || v >= s->w) continue;
                int64_t xi = conv_at(s->xblock, s->c, s->h, s->w, i, o / kg * cg + c, h, v),
                        wi = ((o * cg + c) * s->kh + r) * s->kw + t,
                        yi = conv_at(s->yblock, s->k, s->oh, s->ow, i, o, a, b);
                double a1 = s->kind == CONV_DX ? y[yi] : x[xi], b1 = s->kind == CONV_DW ? y[yi] : w[wi];
                int64_t to = s->kind == CONV_FWD ? yi : s->kind == CONV_DX ? xi : wi;
                (s->kind == CONV_FWD ? y : s->kind == CONV_DX ? x : w)[to] += a1 * b1;
                if (size) size[to] += fabs(a1 * b1);
              }
}

/* Where code's roundings are asked for, sums on tiles are those of tiles, to the last bit. */
static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  const ConvSpec *s = &k->conv;
  ContractionPlan own;
  const ContractionPlan *plan = kernel_plan(p, k, &own);
  const ContractionStep *st = &plan->step[k->step];
  for (int j = 0; j < st->nout && st->flops == 0; j++)
    memcpy(mem[st->nin + j], mem[j], sizeof(double) * (size_t)elements(s, stands_for(plan, st->in[j])));
  if (st->flops == 0) return;
  double *at[3];
  for (int i = 0; i < k->nbuf; i++) at[stands_for(plan, step_operand(st, i))] = mem[i];
  ContractionOperand result = stands_for(plan, st->out[0]);
  int64_t n = elements(s, result);
  memset(at[result], 0, sizeof(double) * (size_t)n);
  if (mode == INTERP_ROUNDED && conv_resolve(s, &p->target).algo == CONV_TILES) {
    conv_tiles_interp(s, &p->target, at[CO_X], at[CO_W], at[CO_Y], at[result]);
  } else {
    double *size = mode == INTERP_MOVED ? xcalloc((size_t)n + 1, sizeof *size, "the interpreter") : NULL;
    convolve(s, at[CO_X], at[CO_W], at[CO_Y], size);
    for (int64_t j = 0; size && j < n; j++) at[result][j] += INTERP_ULP * size[j];
    free(size);
  }
  if (result == CO_X ? s->xbf16 : result == CO_W ? s->wbf16 : s->ybf16)
    for (int64_t i = 0; i < n; i++) at[result][i] = dtype_round(conv_narrow(s), at[result][i], true);
}

static const char *how(const Program *p, const Kernel *k, const char **why) {
  *why = conv_not_on_tiles(&k->conv, &p->target);
  return !*why                                                      ? tiles_name(p->target.tiles)
         : conv_resolve(&k->conv, &p->target).algo == CONV_WINOGRAD ? "Winograd, f32 vectors"
                                                                    : "f32 vectors";
}

const KindRow kind_conv = {.name = "conv",
                           .field = fields,
                           .nfield = sizeof fields / sizeof *fields,
                           .impossible = impossible,
                           .verify = verify,
                           .settle = settle,
                           .plan = plan,
                           .choice = choice,
                           .decide = conv_decide,
                           .how = how,
                           .chunk_bytes = chunk_bytes,
                           .recut = recut,
                           .cut_loss = cut_loss,
                           .least_flops = least_flops,
                           .interp = interp,
                           .interp_only_temporaries = true,
                           .error_share = 2e-4}; /* Winograd's transforms cancel more */
