#include "caltrop/eval/likelihood.h"

#include <cmath>

#include <ATen/ATen.h>

#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

const std::vector<TokenRow> kRows = {{{1, 2, 3, 4}, {false, false, true, true}},
                                     {{1, 2, 9, 8, 7}, {false, false, false, true, true}},
                                     {{30, 31}, {false, true}},
                                     {{1, 2}, {false, false}}};

TEST(Likelihood, IsTheSumOfMinusLogProbabilities) {
  const at::NoGradGuard no_grad;
  const auto model = test::tiny_model();
  const std::vector<AnswerLikelihood> found = answer_likelihoods(*model, kRows);
  ASSERT_EQ(found.size(), 4u);
  for (size_t r = 0; r < kRows.size(); ++r) {
    const auto n = static_cast<int64_t>(kRows[r].ids.size());
    const PackedTokens alone{at::tensor(kRows[r].ids, at::kLong), at::arange(n), {{0, n, -1, 0}}};
    const Tensor log_p = at::log_softmax(at::linear(model->forward(alone), model->head()), -1);
    double nll = 0;
    int64_t tokens = 0;
    for (int64_t t = 1; t < n; ++t) {
      if (!kRows[r].answer[static_cast<size_t>(t)]) continue;
      nll -= log_p[t - 1][kRows[r].ids[static_cast<size_t>(t)]].item<double>();
      ++tokens;
    }
    EXPECT_EQ(found[r].tokens, tokens);
    EXPECT_NEAR(found[r].nll, nll, 1e-4) << "row " << r;
  }
  EXPECT_NEAR(mean_nll(found), (found[0].nll + found[1].nll + found[2].nll) / 5, 1e-9);
}

TEST(Likelihood, DoesNotDependOnHowRowsAreGrouped) {
  const auto model = test::tiny_model();
  const auto one = answer_likelihoods(*model, kRows, 1), all = answer_likelihoods(*model, kRows, 1000);
  for (size_t r = 0; r < kRows.size(); ++r) EXPECT_NEAR(one[r].nll, all[r].nll, 1e-4);
}

}  // namespace
}  // namespace caltrop
