// Cross-entropy read from every layer through the final norm and the head ("logit lens"), as SEAM and RepNoise use it to
// unlearn not only the output but what leads to it. Tested by tests/loss/layers_test.cc.
#pragma once

#include "caltrop/kernels/token_nll.h"
#include "caltrop/loss/total.h"

namespace caltrop {

/// Bytes of probabilities that a layerwise_loss() keeps at most for its backward: enough for a usual batch of a small model.
constexpr int64_t kKeptOfAllStates = 4 * kKeptProbabilities;

/// Sum over tokens of the mean over the L+1 states h_0 .. h_L of -log p(label), p from softmax(W norm(h)). The last state
/// is normed already, and once is enough. count = M. Needs states; L+1 head products a pass. On the CPU its logits keep to
/// kKeptOfAllStates; elsewhere those of all states wait for the backward.
LossFn layerwise_loss();

}  // namespace caltrop
