#include "caltrop/loss/policy.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/json.h"
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

TEST(Policy, ClippedIsWhereNoGradientIsLeft) {
  const Tensor ratio = at::tensor({0.5, 0.5, 1.0, 1.5, 1.5}),
               advantages = at::tensor({1.0, -1.0, 1.0, 1.0, -1.0});
  const Tensor log_p = ratio.log().requires_grad_(true), old = at::zeros({5}, at::kDouble);
  const ClipOptions options{.clip = 0.2, .dual_clip = 0};
  const Tensor loss = clipped_policy_terms(log_p, old, advantages, options).sum();
  const Tensor gradient = torch::autograd::grad({loss}, {log_p})[0];
  const Tensor clipped = is_clipped(log_p.detach(), old, advantages, options);
  EXPECT_TRUE(at::equal(clipped, at::tensor({0.0f, 1.0f, 0.0f, 1.0f, 0.0f})));
  EXPECT_TRUE(at::equal(clipped, gradient.eq(0).to(at::kFloat)));
  const ClipOptions dual{.clip = 0.2, .dual_clip = 1.4};  // takes the last one's too
  EXPECT_TRUE(at::equal(is_clipped(log_p.detach(), old, advantages, dual),
                        at::tensor({0.0f, 1.0f, 0.0f, 1.0f, 1.0f})));
  const Tensor of_dual = clipped_policy_terms(log_p, old, advantages, dual).sum();
  EXPECT_EQ(torch::autograd::grad({of_dual}, {log_p})[0][4].item<double>(), 0);
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

/// Numbers that tools/make_policy_baselines.py had from verl's functions and from the loss of TRL's GRPOTrainer.
class OfVerlAndTrl : public testing::Test {
 protected:
  const Json all = read_json(test::data_file("methods/policy.json"));
  const Tensor log_p = flat(all["log_p"]), old = flat(all["old"]), reference = flat(all["reference"]);

  static Tensor flat(const Json& rows) {  // [M] fp64
    std::vector<double> values;
    for (const Json& row : rows) values.insert(values.end(), row.begin(), row.end());
    return at::tensor(values, at::kDouble);
  }
  static void expect_alike(const Tensor& loss, const Tensor& log_p, const Json& value, const Json& gradient) {
    EXPECT_NEAR(loss.item<double>(), value.get<double>(), 1e-9);
    const Tensor ours = torch::autograd::grad({loss}, {log_p})[0];
    EXPECT_LE((ours - flat(gradient)).abs().max().item<double>(), 1e-9);
  }
};

TEST_F(OfVerlAndTrl, PolicyLossOfVerl) {
  const Tensor x = log_p.clone().requires_grad_(true);
  const Tensor terms =
      clipped_policy_terms(x, old, flat(all["verl"]["gae"]), {all["clip"], all["dual_clip"]});
  EXPECT_NEAR(
      is_clipped(log_p, old, flat(all["verl"]["gae"]), {all["clip"], /*dual_clip=*/0}).mean().item<double>(),
      all["verl"]["clip_fraction"].get<double>(), 1e-6);
  expect_alike(terms.mean(), x, all["verl"]["policy_loss"], all["verl"]["policy_gradient"]);
}

TEST_F(OfVerlAndTrl, GrpoLossOfTrlWithItsKl) {
  // GRPO's advantage is the same for all tokens of a response; TRL has no dual clip.
  std::vector<double> advantages;
  for (size_t row = 0; row < all["log_p"].size(); ++row)
    advantages.insert(advantages.end(), all["log_p"][row].size(), all["verl"]["grpo"][row].get<double>());
  const Tensor x = log_p.clone().requires_grad_(true);
  const Tensor terms =
      clipped_policy_terms(x, old, at::tensor(advantages, at::kDouble), {all["clip"], /*dual_clip=*/0});
  expect_alike((terms + all["beta"].get<double>() * kl_k3(x, reference)).mean(), x, all["trl"]["loss"],
               all["trl"]["gradient"]);
}

TEST_F(OfVerlAndTrl, KlEstimatesAndValueLossOfVerl) {
  EXPECT_NEAR(kl_k1(log_p, reference).mean().item<double>(), all["verl"]["k1"].get<double>(), 1e-9);
  EXPECT_NEAR(kl_k3(log_p, reference).mean().item<double>(), all["verl"]["k3"].get<double>(), 1e-9);
  const Tensor terms = clipped_value_terms(flat(all["predicted"]), flat(all["values"]),
                                           flat(all["value_returns"]), all["value_range"]);
  EXPECT_NEAR(terms.mean().item<double>(), all["verl"]["value_loss"].get<double>(), 1e-9);
}

}  // namespace
}  // namespace caltrop
