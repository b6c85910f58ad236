// Likelihoods of given texts: the numbers that need no generation. Tested by tests/eval/likelihood_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/data/batch.h"
#include "caltrop/model/model.h"

namespace caltrop {

/// The negative log-likelihood of a row's answer, summed over its tokens, in nats.
struct AnswerLikelihood {
  double nll = 0;
  int64_t tokens = 0;
  double mean() const { return nll / static_cast<double>(tokens); }
};

/// For each row, in order. Rows are computed `tokens_at_once` packed tokens at a time, at least one row. A
/// row without answer tokens has 0 tokens.
std::vector<AnswerLikelihood> answer_likelihoods(const Model& model, const std::vector<TokenRow>& rows,
                                                 int64_t tokens_at_once = 2048);

/// Mean over all answer tokens of all rows, nats a token.
double mean_nll(const std::vector<AnswerLikelihood>& likelihoods);

}  // namespace caltrop
