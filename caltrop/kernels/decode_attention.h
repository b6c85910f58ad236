// Attention of one new token a sequence over what its cache holds. Tested by tests/kernels/kernels_test.cc.
#pragma once

#include <vector>

#include "caltrop/kernels/attention.h"

namespace caltrop {

/// Keys and values of one layer: [slots,K,context,E] each; keys are rotated already.
struct LayerCache {
  Tensor keys, values;
};

/// Where the new token of each of A sequences stands: the same for all layers.
struct DecodePlaces {
  /// `tables` for at least the longest, `dtype` of what is attended over.
  DecodePlaces(std::vector<int64_t> slots, std::vector<int64_t> lengths, const RotaryTables& tables,
               at::ScalarType dtype);

  std::vector<int64_t> slots, lengths;  // A: which slot of the cache, and how many tokens it holds already
  int64_t longest;                      // of lengths
  // The same for operators over all sequences, on the device of the tables:
  Tensor slot_index, position;  // [A] int64
  Rotations rotations;          // by position
  Tensor mask;                  // [A,1,1,longest+1], 0 or -inf
};

/// For each active sequence i: rotates its query and key to position lengths[i], writes key and value there
/// into slot slots[i] of the cache, and attends over positions 0..lengths[i]. qkv [A,(H+2K)*E] -> [A,H*E]. No
/// gradients. On the CPU in fp32 a hand-written loop, elsewhere a few ATen operators for all sequences together.
Tensor decode_attention(const Tensor& qkv, const LayerCache& cache, const DecodePlaces& places,
                        const RotaryTables& tables, int64_t heads, int64_t kv_heads);

}  // namespace caltrop
