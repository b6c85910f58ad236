// Attention of one new token a sequence over what its cache holds. Tested by tests/kernels/kernels_test.cc.
#pragma once

#include <vector>

#include "caltrop/kernels/attention.h"

namespace caltrop {

/// Keys and values of one layer: [slots,K,context,E] each; keys are rotated already.
struct LayerCache {
  Tensor keys, values;
};

/// For each active sequence i: rotates its query and key to position lengths[i], writes key and value there
/// into slot slots[i] of the cache, and attends over positions 0..lengths[i]. qkv [A,(H+2K)*E] -> [A,H*E]. No
/// gradients.
Tensor decode_attention(const Tensor& qkv, const LayerCache& cache, const std::vector<int64_t>& slots,
                        const std::vector<int64_t>& lengths, const RotaryTables& tables, int64_t heads,
                        int64_t kv_heads);

}  // namespace caltrop
