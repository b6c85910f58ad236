#include "caltrop/loss/policy.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

double term(double advantage, double ratio, const ClipOptions& options = {}) {
  const Tensor zero = at::zeros({1}), log_p = at::full({1}, std::log(ratio));
  return clipped_policy_terms(log_p, zero, at::full({1}, advantage), options).item<double>();
}

TEST(Policy, ClippingAsInThePaper) {
  EXPECT_NEAR(term(-1, 5), 3, 1e-6) << "max(5, 1.2) = 5, and the dual clip stops at 3";
  EXPECT_NEAR(term(-1, 5, {.clip = 0.2, .dual_clip = 0}), 5, 1e-6);
  EXPECT_NEAR(term(1, 5), -1.2, 1e-6) << "no more reward for going further";
  EXPECT_NEAR(term(1, 0.5), -0.5, 1e-6) << "but all of the way back";
  EXPECT_NEAR(term(-1, 0.5), 0.8, 1e-6);
  EXPECT_NEAR(term(2, 1), -2, 1e-6);
}

TEST(Policy, OnPolicyTheGradientIsThatOfReinforce) {
  const Tensor log_p = at::tensor({-1.0f, -2.0f, -3.0f}).requires_grad_(true);
  const Tensor advantages = at::tensor({0.5f, -1.0f, 2.0f});
  const Tensor loss = clipped_policy_terms(log_p, log_p.detach(), advantages, {}).sum();
  const Tensor gradient = torch::autograd::grad({loss}, {log_p})[0];
  EXPECT_TRUE(at::allclose(gradient, -advantages));
}

TEST(Policy, BothKlEstimatesMeanTheKlAndK3IsNeverNegative) {
  // Over all outcomes weighted by the policy both equal KL(policy || reference) exactly.
  const Tensor log_p = at::log_softmax(at::tensor({0.3, -1.0, 0.7}), 0),
               reference = at::log_softmax(at::tensor({0.1, 0.4, -0.9}), 0);
  const double kl = (log_p.exp() * (log_p - reference)).sum().item<double>();
  EXPECT_NEAR((log_p.exp() * kl_k1(log_p, reference)).sum().item<double>(), kl, 1e-12);
  EXPECT_NEAR((log_p.exp() * kl_k3(log_p, reference)).sum().item<double>(), kl, 1e-12);
  EXPECT_GE(kl_k3(log_p, reference).min().item<double>(), 0);
}

TEST(Policy, ValuesAreClippedAroundTheOldOnes) {
  const auto value = [](double v, double old, double r) {
    return clipped_value_terms(at::full({1}, v), at::full({1}, old), at::full({1}, r), 0.5).item<double>();
  };
  EXPECT_NEAR(value(2, 0, 1), 0.5, 1e-6) << "(2-1)^2 beats (0.5-1)^2";
  EXPECT_NEAR(value(1, 0, 1), 0.125, 1e-6) << "right, but further than the range: the clipped one pays";
  EXPECT_NEAR(value(0.25, 0, 1), 0.28125, 1e-6);
}

}  // namespace
}  // namespace caltrop
