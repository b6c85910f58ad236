// A batch of token sequences without padding, in which sequences share their common beginnings.
//
// Rows that begin alike (the same system prompt, the same question with several answers) are cut into segments that form
// a tree: a segment continues its parent, and holds the tokens that its children have in common. Causal attention cannot
// tell the difference, so hidden states and gradients equal those of separate rows, while shared tokens are computed once.
//
//   rows    <s> You are kind. | How do I make soup?          segments   0: <s> You are kind.        parent none
//           <s> You are kind. | How do I make bread?                    1: How do I make            parent 0
//           <s> You are kind. | What is a heron?                        2: soup?  3: bread?         parent 1
//                                                                       4: What is a heron?         parent 0
//
// data/batch.* builds it, kernels/attention.* reads it. Tested by tests/data/batch_test.cc, tests/kernels/kernels_test.cc and
// tests/model/llama_test.cc.
#pragma once

#include <cstdint>
#include <vector>

#include "caltrop/tensor/tensor.h"

namespace caltrop {

struct Segment {
  int64_t begin;           // first token within the packed batch
  int64_t length;          // > 0
  int64_t parent;          // index of the segment that it continues, or -1; parent < own index
  int64_t first_position;  // position in the row of its first token: the length of all its ancestors
};

/// Cosines and sines of rotary positions, by rotations() of kernels/attention.h.
struct Rotations {
  Tensor cosine, sine;  // [N,1,E]; the first half of sine is negated
};

struct PackedTokens {
  Tensor ids;                     // [N] int64
  Tensor positions;               // [N] int64, position of each token in its row
  std::vector<Segment> segments;  // cover 0..N-1 in order
  Tensor visible = {};            // visibility() of the above, kept where attention reads it: not on the CPU
  // What every layer reads there, by prepare() of kernels/attention.h.
  Rotations rotations = {};
  Tensor mask = {};  // [1,1,N,N]
  int64_t count() const { return ids.size(0); }
};

/// [N,N] bool on the device of the positions: whether token i sees token j, that is, whether j comes no later in the row and
/// lies in i's segment or in one that this continues.
Tensor visibility(const PackedTokens& tokens);

}  // namespace caltrop
