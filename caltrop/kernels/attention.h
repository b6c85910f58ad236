// Causal grouped-query attention with rotary positions over a packed batch.
//
// Each token sees the tokens before it in its own segment and all tokens of the segments that its own
// continues (tensor/packed.h). On the CPU one hand-written fp32 operator does rotation, scores, softmax
// and products per (segment, head): rows here are short, and for them the general kernels spend their time on
// overhead. Scores are never kept; the backward computes them again. Elsewhere one call of ATen's fused attention
// takes the whole batch with a mask: few launches, and no work for each segment. Under MathMode ATen's plain
// operators, segment by segment. Tested by tests/kernels/kernels_test.cc: all three are equal, and equal to
// attention over separate rows; gradients to finite differences.
#pragma once

#include "caltrop/tensor/packed.h"

namespace caltrop {

/// Tables for rotary position embedding (Su et al. 2021), half-split layout as in Hugging Face's Llama.
struct RotaryTables {
  Tensor cosine, sine;  // [positions, E/2] fp32
};

/// inverse_frequencies [E/2]. Tables for positions 0..positions-1.
RotaryTables rotary_tables(const Tensor& inverse_frequencies, int64_t positions);

/// Rotates x [N,heads,E] by its tokens' positions [N]: (a, b) -> (a cos - b sin, b cos + a sin) for the two
/// halves of E.
Tensor rotate(const Tensor& x, const Tensor& positions, const RotaryTables& tables);

/// The rows of the tables for tokens at `positions` [N], as rotate() below reads them in every layer.
Rotations rotations(const RotaryTables& tables, const Tensor& positions, at::ScalarType dtype);

/// The same in three launches each way: with the halves swapped, (a, b) -> (a, b) cosine + (b, a) sine.
Tensor rotate(const Tensor& x, const Rotations& rotations);

/// bool -> 0 where visible, else -inf. Its rows begin where fused attention wants them: else it would copy the mask in every layer.
Tensor additive_mask(const Tensor& visible, at::ScalarType dtype);

/// `tokens` with what attention elsewhere than on the CPU reads in each layer, made once: rotations and mask [1,1,N,N] in `dtype`.
/// On the CPU as it was.
PackedTokens prepare(PackedTokens tokens, const RotaryTables& tables, at::ScalarType dtype);

/// ATen's scaled_dot_product_attention, without cuDNN's kernel: that makes a plan for each new length, 0.15 s on an H200, where batches
/// have hardly ever the length of another. Sets a flag of the process.
Tensor fused_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask);

/// q [N,H*E], k and v [N,K*E] before rotation -> [N,H*E]. H is a multiple of K. Scores are scaled by
/// 1/sqrt(E).
Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& tokens,
                        const RotaryTables& tables, int64_t heads, int64_t kv_heads);

}  // namespace caltrop
