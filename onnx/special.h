/* Operators that a text with holes cannot say (special.c, blocks.c). */
#ifndef JEPAC_ONNX_SPECIAL_H
#define JEPAC_ONNX_SPECIAL_H

#include "onnx/import.h"

OxSpecial ox_constant, ox_identity, ox_cast, ox_reshape, ox_reduce, ox_flatten, ox_conv, ox_gemm, ox_matmul, ox_slice,
    ox_pad, ox_split, ox_constant_of_shape, ox_dropout, ox_if, ox_loop, ox_scan, ox_sequence, ox_squeeze, ox_einsum, ox_quantized, ox_variadic,
    ox_shape, ox_random, ox_transpose, ox_gather, ox_reciprocal, ox_not, ox_scatter_nd, ox_range;

#endif
