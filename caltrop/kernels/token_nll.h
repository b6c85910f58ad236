// The language-model head and its loss in one operator: hidden states in, negative log-likelihoods out.
//
// Logits [M,V] are the largest tensor of a training step (V is 49k to 262k), so they exist for one chunk of
// rows at a time; up to a fixed budget the probabilities are kept for the backward, beyond it they are
// computed again. Tested by tests/kernels/kernels_test.cc against log_softmax, and by finite differences.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// -log p(labels[m] | hidden[m]) in nats, fp32. hidden [M,D] (after the final norm), head [V,D], labels [M]
/// int64 in [0,V) -> [M]. Differentiable once in hidden and head; any number of times under MathMode.
Tensor token_nll(const Tensor& hidden, const Tensor& head, const Tensor& labels);

}  // namespace caltrop
