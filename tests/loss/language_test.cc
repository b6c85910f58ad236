#include "caltrop/loss/language.h"

#include <cmath>

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

LossInputs inputs() {
  at::manual_seed(3);
  LossInputs in;
  in.hidden = at::randn({5, 4});
  in.head = at::randn({7, 4});
  in.labels = at::tensor({0, 6, 3, 3, 1}, at::kLong);
  in.rows = at::tensor({0, 0, 1, 1, 1}, at::kLong);
  in.row_count = 2;
  return in;
}

/// -log softmax at [m, token], by the definition in fp64.
double nll(const LossInputs& in, int64_t m, int64_t token) {
  const Tensor logits = at::mv(in.head.to(at::kDouble), in.hidden[m].to(at::kDouble));
  double sum = 0;
  for (int64_t v = 0; v < 7; ++v) sum += std::exp(logits[v].item<double>());
  return std::log(sum) - logits[token].item<double>();
}

TEST(Loss, AnswerLossIsTheSumOverLabels) {
  const LossInputs in = inputs();
  const Total total = answer_loss().total(in);
  double expected = 0;
  for (int64_t m = 0; m < 5; ++m) expected += nll(in, m, in.labels[m].item<int64_t>());
  EXPECT_NEAR(total.sum.item<double>(), expected, 1e-5);
  EXPECT_EQ(total.count, 5);
}

TEST(Loss, FixedTokenLossAsksForOneTokenEverywhere) {
  const LossInputs in = inputs();
  const Total total = fixed_token_loss(2).total(in);
  double expected = 0;
  for (int64_t m = 0; m < 5; ++m) expected += nll(in, m, 2);
  EXPECT_NEAR(total.sum.item<double>(), expected, 1e-5);
  EXPECT_EQ(total.count, 5);
}

TEST(Loss, CappedAscentStopsWhereATokenIsBadEnough) {
  const LossInputs in = inputs();
  double expected = 0, uncapped = 0;
  for (int64_t m = 0; m < 5; ++m) {
    const double of_token = nll(in, m, in.labels[m].item<int64_t>());
    expected -= std::min(of_token, 2.0), uncapped -= of_token;
  }
  ASSERT_NE(expected, uncapped) << "the cap must bite in this test";
  EXPECT_NEAR(capped_ascent_loss(2.0).total(in).sum.item<double>(), expected, 1e-5);
}

TEST(Loss, UnlikelihoodSaturatesAtBothEnds) {
  const LossInputs in = inputs();
  double expected = 0;
  for (int64_t m = 0; m < 5; ++m)
    expected -= std::log(1.02 - std::exp(-nll(in, m, in.labels[m].item<int64_t>())));
  EXPECT_NEAR(unlikelihood_loss().total(in).sum.item<double>(), expected, 1e-5);
}

}  // namespace
}  // namespace caltrop
