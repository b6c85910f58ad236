// NPO and what it retains with as slowly and obviously as they can be written: row by row, token by token, whole logits, no Step.
// arXiv:2404.05868. Linked into tests only.
#pragma once

#include "caltrop/data/batch.h"
#include "caltrop/train/step.h"

namespace caltrop::test {

struct NpoTwin {
  const Model& model;
  const Model& reference;

  /// Gradient of the mean over rows of -(2/beta) log sigmoid(beta (NLL - NLL of the reference)), NLL summed over a row's answer.
  Gradients unlearning(const std::vector<TokenRow>& rows, double beta) const;
  /// Of the mean over rows of -log sigmoid(NLL - NLL of the reference), NLL per token.
  Gradients unlearning_per_token(const std::vector<TokenRow>& rows) const;
  /// Of the mean over all tokens of answers of sum_v p_ref(v) log(p_ref(v) / p(v)).
  Gradients kl(const std::vector<TokenRow>& rows) const;
};

}  // namespace caltrop::test
