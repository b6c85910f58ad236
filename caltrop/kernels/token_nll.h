// The language-model head and its loss in one operator: hidden states in, negative log-likelihoods out.
//
// Logits [M,V] are the largest tensor of a training step (V is 49k to 262k), so on the CPU they exist for one chunk of
// rows at a time; up to a budget the probabilities are kept for the backward, beyond it they are computed again, to the
// same bits. Elsewhere, and under MathMode, one copy of all logits waits for the backward. Tested by tests/kernels/kernels_test.cc against
// log_softmax, and by finite differences, and by tests/kernels/token_nll_test.cc.
#pragma once

#include <cstdint>

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// What one call keeps for its backward if nobody says otherwise.
constexpr int64_t kKeptProbabilities = int64_t{512} << 20;

/// -log p(labels[m] | hidden[m]) in nats, fp32. hidden [M,D] (after the final norm), head [V,D], labels [M]
/// int64 in [0,V) -> [M]. Differentiable once in hidden and head; any number of times under MathMode. `keep`: bytes of
/// probabilities that may wait for the backward; those of further rows are computed again.
Tensor token_nll(const Tensor& hidden, const Tensor& head, const Tensor& labels,
                 int64_t keep = kKeptProbabilities);

}  // namespace caltrop
