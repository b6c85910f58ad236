// Token-by-token decoding: a key-value cache of fixed slots, and the forward pass of one new token a
// sequence. Tested by tests/model/decoder_test.cc: equal to the packed forward pass over the whole sequence.
#pragma once

#include <vector>

#include "caltrop/kernels/decode_attention.h"
#include "caltrop/kernels/packed_linear.h"
#include "caltrop/model/model.h"

namespace caltrop {

/// Holds a decoding copy of the weights as they were at construction; make it anew when the model has
/// changed.
class Decoder {
 public:
  /// `slots` sequences of up to `context` tokens at once.
  Decoder(const Model& model, int64_t slots, int64_t context);

  /// What the key-value cache of such a decoder takes.
  static int64_t cache_bytes(const Model& model, int64_t slots, int64_t context);

  /// Runs the packed rows and fills the slots: row r of the batch, whose tokens lie at `places[r]` in it,
  /// goes to slots[r]. Returns logits [R,V] fp32 after each row's last token.
  Tensor prefill(const PackedTokens& tokens, const std::vector<std::vector<int64_t>>& places,
                 const std::vector<int64_t>& slots);

  /// Appends ids[i] to the sequence in slots[i] and returns logits [A,V] fp32 for what follows.
  Tensor step(const std::vector<int64_t>& ids, const std::vector<int64_t>& slots);

  at::Device device() const { return model_.device(); }
  int64_t length(int64_t slot) const { return lengths_[static_cast<size_t>(slot)]; }

 private:
  struct Layer {
    Tensor norm, norm_after;
    PackedLinear qkv, output, gate_up, down;
    LayerCache cache;
  };

  const Model& model_;
  at::ScalarType
      dtype_;  // of activations and cache: fp32 on the CPU, whatever the weights are; else the model's
  std::vector<Layer> layers_;
  Tensor norm_;
  PackedLinear head_;
  std::vector<int64_t> lengths_;
};

}  // namespace caltrop
