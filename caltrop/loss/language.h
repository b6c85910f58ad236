// Language-model losses over the positions that have a label. Tested by tests/loss/language_test.cc.
#pragma once

#include "caltrop/loss/total.h"

namespace caltrop {

/// Cross-entropy of the answer's tokens: sum of -log p(label), count = M. In nats.
LossFn answer_loss();

/// -log p(token) at every position of the answer, whatever it says: CTRAP's collapse loss (arXiv:2505.16559,
/// Eq. 1), where a low value means that the model says nothing but `token`.
LossFn fixed_token_loss(int64_t token);

/// -min(-log p(label), cap) at each position: ascent that stops where a token is bad enough, since cross-entropy has no bound.
LossFn capped_ascent_loss(double cap);

/// -log(1.02 - p(label)) at each position (Welleck et al. 2019, softened): saturates, so that a few tokens at enormous loss do not
/// pay for all others.
LossFn unlikelihood_loss();

}  // namespace caltrop
