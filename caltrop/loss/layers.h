// Cross-entropy read from every layer through the final norm and the head ("logit lens"), as SEAM and RepNoise use it to
// unlearn not only the output but what leads to it. Tested by tests/loss/layers_test.cc.
#pragma once

#include "caltrop/loss/total.h"

namespace caltrop {

/// Sum over tokens of the mean over the L+1 states h_0 .. h_L of -log p(label), p from softmax(W norm(h)). The last state
/// is normed already, and once is enough. count = M. Needs states; L+1 head products a pass. On the CPU its logits keep to
/// the memory of four token_nll; elsewhere those of all states wait for the backward.
LossFn layerwise_loss();

}  // namespace caltrop
