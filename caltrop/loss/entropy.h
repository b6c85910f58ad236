// Entropy of the model's predictions. Tested by tests/loss/entropy_test.cc.
#pragma once

#include "caltrop/loss/total.h"

namespace caltrop {

/// Sum over the positions of the answer of H(p) = -sum_v p(v) log p(v), in nats. count = M. Logits exist whole: [M,V].
LossFn entropy_loss();

}  // namespace caltrop
