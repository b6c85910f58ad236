#include "caltrop/kernels/token_nll.h"

#include <limits>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/math_mode.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(TokenNll, WhatIsKeptForTheBackwardChangesNoBit) {
  at::manual_seed(3);
  const Tensor hidden = at::randn({300, 16}).requires_grad_(true),  // more than one chunk of rows
      head = at::randn({67, 16}).requires_grad_(true), labels = at::randint(0, 67, {300}, at::kLong);
  const auto with = [&](int64_t keep) {
    const Tensor nll = token_nll(hidden, head, labels, keep);
    std::vector<Tensor> all = torch::autograd::grad({nll.square().sum()}, {hidden, head});
    all.push_back(nll.detach());
    return all;
  };
  const std::vector<Tensor> kept = with(300 * 67 * 4), half = with(300 * 67 * 4 - 1), again = with(0);
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_TRUE(at::equal(kept[i], half[i])) << i;
    EXPECT_TRUE(at::equal(kept[i], again[i])) << i;
  }
}

TEST(TokenNll, ManyRowsAreTakenInPiecesUnderMathModeToo) {
  at::manual_seed(3);
  const MathMode mode(true);
  const Tensor hidden = at::randn({2500, 4}).requires_grad_(true), head = at::randn({9, 4}),
               labels = at::randint(0, 9, {2500}, at::kLong);
  const Tensor expected = at::cross_entropy_loss(at::linear(hidden, head), labels, {}, at::Reduction::None);
  const Tensor nll = token_nll(hidden, head, labels);
  EXPECT_TRUE(at::allclose(nll, expected, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(torch::autograd::grad({nll.sum()}, {hidden})[0],
                           torch::autograd::grad({expected.sum()}, {hidden})[0], 1e-5, 1e-5));
}

// An Intel core multiplies matrices of denormal numbers at a sixth of its speed.
TEST(TokenNll, WhatCannotBeIsZeroAndNothingIsDenormal) {
  const Tensor logits = at::linspace(0, -200, 400), labels = at::tensor({3}, at::kLong);
  const Tensor hidden = at::ones({1, 1}),
               head = logits.unsqueeze(1).clone().requires_grad_(true);  // [V,1], so that W h are the logits
  constexpr double kWeight = 1e-6;                                       // of a mean over many tokens
  const Tensor gradient =
      torch::autograd::grad({token_nll(hidden, head, labels).sum() * kWeight}, {head})[0].squeeze(1);
  Tensor expected = at::softmax(logits.to(at::kDouble), 0);
  expected[3] -= 1;
  EXPECT_LT((gradient.to(at::kDouble) / kWeight - expected).abs().max().item<double>(), 1e-6);
  const Tensor denormal = gradient.abs().lt(std::numeric_limits<float>::min()).logical_and(gradient.ne(0));
  EXPECT_EQ(denormal.sum().item<int64_t>(), 0);
  EXPECT_GT(gradient.ne(0).sum().item<int64_t>(), 100) << "down to e^-60 they are kept";
}

}  // namespace
}  // namespace caltrop
