/* oneDNN's convolutions for conv_bench, where the library was found at build time; else nothing. */
#ifndef JEPAC_BENCH_CONV_PEER_H
#define JEPAC_BENCH_CONV_PEER_H

#include "ir/kernel/conv_plan.h"

typedef struct ConvPeer ConvPeer;
typedef enum { PEER_DIRECT, PEER_DIRECT_NHWC, PEER_WINOGRAD, PEERS } PeerKind;

/* One thread, operands of its own in the layout the library likes best (or NHWC). NULL when it has no such
   kernel. */
ConvPeer *conv_peer_new(const ConvSpec *spec, PeerKind kind);
void conv_peer_run(ConvPeer *p);
void conv_peer_free(ConvPeer *p);

#endif
