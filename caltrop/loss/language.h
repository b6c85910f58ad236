// Language-model losses over the positions that have a label. Tested by tests/loss/language_test.cc.
#pragma once

#include "caltrop/loss/total.h"

namespace caltrop {

/// Cross-entropy of the answer's tokens: sum of -log p(label), count = M. In nats.
LossFn answer_loss();

/// -log p(token) at every position of the answer, whatever it says: CTRAP's collapse loss (arXiv:2505.16559,
/// Eq. 1), where a low value means that the model says nothing but `token`.
LossFn fixed_token_loss(int64_t token);

}  // namespace caltrop
