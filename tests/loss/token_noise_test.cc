#include "caltrop/loss/token_noise.h"

#include <cmath>

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

struct Case {
  LossInputs in;
  Tensor all;
  explicit Case(int64_t m = 5, int64_t d = 6, int64_t v = 9) {
    in.hidden = at::randn({m, d});
    in.head = at::randn({v, d});
    in.labels = at::arange(m) % v;
    all = at::ones({m});
  }
  double value(const TokenNoise& noise, const Tensor& chosen) const {
    const Total total = token_noise_loss(noise, {chosen}).total(in);
    return total.sum.item<double>() / static_cast<double>(total.count);
  }
};

TEST(TokenNoise, EqualLogitsHaveTheClosedForm) {
  Case c;
  c.in.head = at::zeros_like(c.in.head);
  for (const char* kind : {"redrawn", "frozen", "uniform"})
    EXPECT_NEAR(c.value({.label = 0.9, .weight = 0.1, .kind = kind, .seed = 3}, c.all), 1.0 * std::log(9.0),
                1e-5)
        << kind;
}

TEST(TokenNoise, RedrawnIsUniformLabelSmoothingInExpectation) {
  const Case c;
  double sum = 0;
  constexpr int kDraws = 4000;
  for (uint64_t seed = 0; seed < kDraws; ++seed)
    sum += c.value({.label = 0.9, .weight = 0.1, .kind = "redrawn", .seed = seed}, c.all);
  EXPECT_NEAR(sum / kDraws, c.value({.label = 0.9, .weight = 0.1, .kind = "uniform", .seed = 0}, c.all),
              2e-3);
}

TEST(TokenNoise, FrozenIsTheSameForEveryPositionAndStepRedrawnIsNot) {
  Case c;
  c.in.hidden = c.in.hidden[0].expand({5, 6}).contiguous();
  c.in.labels = at::zeros({5}, at::kLong);
  const auto first_only = [](int64_t i) { return at::zeros({5}).index_fill_(0, at::tensor({i}), 1.0); };
  const TokenNoise frozen{.label = 0.9, .weight = 0.1, .kind = "frozen", .seed = 1},
      redrawn{.label = 0.9, .weight = 0.1, .kind = "redrawn", .seed = 1};
  EXPECT_NEAR(c.value(frozen, first_only(0)), c.value(frozen, first_only(3)), 1e-6);
  EXPECT_GT(std::abs(c.value(redrawn, first_only(0)) - c.value(redrawn, first_only(3))), 1e-6);
}

TEST(TokenNoise, OnlyChosenPositionsCount) {
  const Case c;
  Tensor two = at::zeros({5});
  two[1] = 1, two[4] = 1;
  const TokenNoise noise{.label = 1, .weight = 0, .kind = "uniform", .seed = 0};
  const Tensor nll = -at::log_softmax(at::linear(c.in.hidden, c.in.head), -1);
  EXPECT_NEAR(c.value(noise, two), (nll[1][1].item<double>() + nll[4][4].item<double>()) / 2, 1e-5);
}

}  // namespace
}  // namespace caltrop
