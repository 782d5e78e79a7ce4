#define _GNU_SOURCE /* madvise */
#include "bench/conv_peer.h"

#ifdef JEPAC_DNNL
#include "bench/floats.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

struct ConvPeer {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_t run;
  dnnl_memory_t memory[3];
  float *data[3];
  dnnl_exec_arg_t arg[3];
};

static dnnl_memory_desc_t tensor(int64_t a, int64_t b, int64_t c, int64_t d, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t m;
  if (dnnl_memory_desc_init_by_tag(&m, 4, (dnnl_dims_t){a, b, c, d}, dnnl_f32, tag))
    bug("oneDNN: no such tensor");
  return m;
}

static dnnl_primitive_desc_t describe(const ConvSpec *s, ConvKind kind, PeerKind peer, dnnl_engine_t engine,
                                      dnnl_primitive_desc_t forward) {
  dnnl_alg_kind_t alg = peer == PEER_WINOGRAD ? dnnl_convolution_winograd : dnnl_convolution_direct;
  dnnl_format_tag_t tag = peer == PEER_DIRECT_NHWC ? dnnl_nhwc : dnnl_format_tag_any;
  dnnl_memory_desc_t x = tensor(s->n, s->c, s->h, s->w, tag), y = tensor(s->n, s->k, s->oh, s->ow, tag),
                     w = tensor(s->k, s->c, s->kh, s->kw, dnnl_format_tag_any);
  dnnl_dims_t stride = {s->stride[0], s->stride[1]}, lo = {s->pad[0], s->pad[1]}, hi;
  hi[0] = (s->oh - 1) * s->stride[0] + s->kh - s->h - lo[0],
  hi[1] = (s->ow - 1) * s->stride[1] + s->kw - s->w - lo[1];
  dnnl_convolution_desc_t d;
  dnnl_status_t st =
      kind == CONV_FWD ? dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, alg, &x, &w, NULL, &y,
                                                            stride, lo, hi)
      : kind == CONV_DX
          ? dnnl_convolution_backward_data_desc_init(&d, alg, &x, &w, &y, stride, lo, hi)
          : dnnl_convolution_backward_weights_desc_init(&d, alg, &x, &w, NULL, &y, stride, lo, hi);
  dnnl_primitive_desc_t pd = NULL;
  if (st || dnnl_primitive_desc_create(&pd, &d, NULL, engine, forward)) return NULL;
  return pd;
}

ConvPeer *conv_peer_new(const ConvSpec *s, PeerKind kind) {
  omp_set_num_threads(1);
  ConvPeer *p = calloc(1, sizeof *p);
  if (!p || dnnl_engine_create(&p->engine, dnnl_cpu, 0) || dnnl_stream_create(&p->stream, p->engine, 0))
    bug("oneDNN does not start");
  dnnl_primitive_desc_t forward = describe(s, CONV_FWD, kind, p->engine, NULL),
                        pd = !forward              ? NULL
                             : s->kind == CONV_FWD ? forward
                                                   : describe(s, s->kind, kind, p->engine, forward);
  if (pd && !dnnl_primitive_create(&p->run, pd)) {
    static const struct {
      dnnl_query_t query[3];
      int arg[3];
    } of[] = {{{dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
               {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}},
              {{dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
               {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST}},
              {{dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md},
               {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}}};
    for (int i = 0; i < 3; i++) {
      const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, of[s->kind].query[i], 0);
      p->data[i] = bench_floats((int64_t)(dnnl_memory_desc_get_size(md) / 4));
      if (dnnl_memory_create(&p->memory[i], md, p->engine, p->data[i])) bug("oneDNN: out of memory");
      p->arg[i] = (dnnl_exec_arg_t){of[s->kind].arg[i], p->memory[i]};
    }
  }
  if (pd && pd != forward) dnnl_primitive_desc_destroy(pd);
  if (forward) dnnl_primitive_desc_destroy(forward);
  if (p->run) return p;
  conv_peer_free(p);
  return NULL;
}

void conv_peer_run(ConvPeer *p) {
  if (dnnl_primitive_execute(p->run, p->stream, 3, p->arg) || dnnl_stream_wait(p->stream))
    bug("oneDNN fails");
}

void conv_peer_free(ConvPeer *p) {
  if (!p) return;
  for (int i = 0; i < 3; i++) {
    if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    free(p->data[i]);
  }
  if (p->run) dnnl_primitive_destroy(p->run);
  dnnl_stream_destroy(p->stream);
  dnnl_engine_destroy(p->engine);
  free(p);
}

#else

ConvPeer *conv_peer_new(const ConvSpec *spec, PeerKind kind) {
  (void)spec, (void)kind;
  return NULL;
}
void conv_peer_run(ConvPeer *p) { (void)p; }
void conv_peer_free(ConvPeer *p) { (void)p; }

#endif
