#include "caltrop/train/hessian.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/loss/language.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

class HessianTest : public testing::Test {
 protected:
  std::shared_ptr<Model> model = test::tiny_model();
  Step step = test::make_step(*model, {"a", "b"}, 4, 4);
  const Measured here = step.measure("a", answer_loss());
  Gradients direction;

  void SetUp() override {
    at::manual_seed(9);
    for (const auto& [name, parameter] : model->parameters())
      direction.push_back(at::randn_like(parameter).detach());
    const double length = global_norm(direction).item<double>();
    for (const Tensor& d : direction) d.div_(length);
  }
  static HessianOptions options(const std::string& how, double epsilon, int64_t check_every = 0) {
    HessianOptions chosen;
    chosen.hessian = how, chosen.epsilon = epsilon, chosen.check_every = check_every;
    return chosen;
  }
  HessianProduct product(const HessianOptions& how, double length = 1) {
    Gradients along;
    for (const Tensor& d : direction) along.push_back(d * length);
    return HessianProduct(step, "a", answer_loss(), here, std::move(along), how);
  }
  HessianProduct product(const std::string& how, double epsilon) { return product(options(how, epsilon)); }

  /// w.(A w)/2 + a.w of the last norm's weights, A diagonal: a loss whose Hessian is known.
  static LossFn quadratic(const Tensor& A, const Tensor& a) {
    return {[=](const LossInputs& in) {
      return Total{(A * in.norm_weight.square()).sum() / 2 + (a * in.norm_weight).sum(), 1};
    }};
  }
  static LossFn scaled(double by) {
    return {[=](const LossInputs& in) {
      const Total plain = answer_loss().total(in);
      return Total{plain.sum * by, plain.count};
    }};
  }
  Gradients cosine_gradient(const LossFn& a, const LossFn& b, const HessianOptions& how) {
    Scalars scalars;
    add_cosine_gradient(step, measure_gradient(step, "a", a), measure_gradient(step, "b", b), 1, how, "test",
                        scalars);
    return test::take_gradients(*model);
  }
};

TEST_F(HessianTest, DifferencesApproachTheExactProduct) {
  const NamedTensors before = test::copy_of(model->parameters());
  const Gradients exact = step.hessian_product("a", answer_loss(), direction);
  EXPECT_EQ(test::difference(product("exact", 1)(), exact), 0);
  EXPECT_LE(test::difference(product("fd_paper", 1e-2)(), exact), 0.05);
  EXPECT_LE(test::difference(product("fd_scaled", 5e-4)(), exact), 0.05);
  EXPECT_LE(test::difference(product("fd_central", 2e-3)(), exact), 0.02);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST_F(HessianTest, TheStepDoesNotShrinkWithTheDirection) {
  for (const std::string how : {"fd_scaled", "fd_central"}) {
    const Gradients whole = product(how, 5e-4)(), small = product(options(how, 5e-4), 1e-6)();
    Gradients grown;
    for (const Tensor& g : small) grown.push_back(g * 1e6);
    EXPECT_LE(test::difference(grown, whole), 1e-2) << how;
  }
}

TEST_F(HessianTest, TheCheckTellsNoiseFromAProduct) {
  const NamedTensors before = test::copy_of(model->parameters());
  const auto sound = product("fd_scaled", 5e-4).check();
  EXPECT_GT(sound.moved, 0.99);
  EXPECT_GT(sound.agreement, 0.99);
  EXPECT_GT(sound.exact, 0.99);
  const auto noise = product("fd_paper", 1e-9).check();
  EXPECT_FALSE(noise.moved > 0.9 && noise.agreement > 0.9);
  EXPECT_FALSE(noise.exact > 0.9);
  // Steps of one and of two lengths may agree where both are too long; the exact product does not.
  const auto coarse = product("fd_paper", 300).check();
  EXPECT_FALSE(coarse.exact > 0.9);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST_F(HessianTest, WhatIsNotToBeTrustedIsWarnedOfAndEndsAStrictRun) {
  HessianOptions noise = options("fd_paper", 1e-9, /*check_every=*/7);
  Scalars scalars;
  testing::internal::CaptureStderr();
  product(noise).check_if_due("trap", scalars);  // step 0: due
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      testing::HasSubstr("warning: trap: step 0: the finite difference on 'a' is not to be trusted: "));
  EXPECT_EQ(scalars.size(), 3u);
  noise.strict = true;
  EXPECT_THROW(product(noise).check_if_due("trap", scalars), UserError);

  // The worse of two products is logged.
  noise.strict = false;
  product(options("fd_scaled", 5e-4, 7)).check_if_due("trap", scalars);
  EXPECT_EQ(scalars.size(), 3u);
  EXPECT_LT(test::scalar(scalars, "fd_moved"), 0.9);

  Step later = test::make_step(*model, {"a"}, 4, 4, 6);
  Scalars none;
  HessianProduct(later, "a", answer_loss(), here, direction, noise).check_if_due("trap", none);
  EXPECT_TRUE(none.empty()) << "nothing is due at step 6";
}

TEST_F(HessianTest, OfQuadraticsTheCosinesGradientIsExactForAnyStep) {
  const Tensor A = at::rand({24}) + 0.5, B = at::rand({24}) + 0.5, a = at::randn({24}), b = at::randn({24});
  const Tensor w = model->weight("model.norm.weight").detach().clone().requires_grad_(true);
  const Tensor ga = A * w + a, gb = B * w + b;
  const Tensor slope = torch::autograd::grad({(ga * gb).sum() / (ga.norm() * gb.norm())}, {w})[0];
  for (const HessianOptions& how :
       {options("fd_paper", 0.1), options("fd_paper", 1), options("fd_scaled", 0.1), options("fd_scaled", 1),
        options("fd_central", 0.1)}) {
    const Gradients ours = cosine_gradient(quadratic(A, a), quadratic(B, b), how);
    for (size_t i = 0; i < ours.size(); ++i) {
      const bool moves = model->parameters()[i].first == "model.norm.weight";
      EXPECT_LE((ours[i] - (moves ? slope : at::zeros_like(ours[i]))).abs().max().item<double>(), 1e-4)
          << how.hessian << " " << how.epsilon << ", " << model->parameters()[i].first;
    }
  }
}

TEST_F(HessianTest, TheCosineDoesNotKnowTheScaleOfALoss) {
  for (const auto& [how, tolerance] :
       {std::pair{options("exact", 1), 1e-4}, std::pair{options("fd_scaled", 1e-4), 1e-2}}) {
    const Gradients plain = cosine_gradient(answer_loss(), answer_loss(), how);
    EXPECT_LE(test::difference(cosine_gradient(scaled(7), answer_loss(), how), plain), tolerance)
        << how.hessian;
    EXPECT_LE(test::difference(cosine_gradient(answer_loss(), scaled(0.02), how), plain), tolerance)
        << how.hessian;
  }
}

TEST_F(HessianTest, GradientsThatPointTheSameOrOppositeWaysHaveNoSlope) {
  for (const double sign : {3.0, -3.0}) {
    for (const std::string how : {"fd_paper", "fd_scaled", "exact"}) {
      const LossGradient one = measure_gradient(step, "a", answer_loss()),
                         other = measure_gradient(step, "a", scaled(sign));
      EXPECT_NEAR(cosine(one, other), sign / 3, 1e-6);
      Scalars scalars;
      add_cosine_gradient(step, one, other, 1, options(how, 1e-3), "test", scalars);
      EXPECT_EQ(global_norm(test::take_gradients(*model)).item<double>(), 0) << how << " " << sign;
    }
  }
}

TEST_F(HessianTest, OptionsThatDoNothingAreRefused) {
  const auto check = [](const Json& given, const std::string& idle) {
    HessianOptions read;
    read_options(read, given, "trap");
    read.check_used(given, HessianOptions(), idle, "trap");
  };
  check({{"hessian", "fd_central"}, {"epsilon", 1e-4}, {"check_every", 10}, {"strict", true}}, "");
  check({{"hessian", "exact"}, {"check_every", 0}}, "");
  check(write_options(HessianOptions()), "without second_order");  // as a manifest has them
  EXPECT_USER_ERROR(
      check({{"epsilon", 1e-4}}, "without second_order"),
      "trap: option 'epsilon' is 0.0001, which does nothing without second_order; want it left out");
  EXPECT_USER_ERROR(check({{"hessian", "exact"}, {"strict", true}}, ""),
                    "trap: option 'strict' is true, which does nothing with hessian=exact; want it left out");
  EXPECT_USER_ERROR(check({{"check_every", 0}, {"strict", true}}, ""),
                    "trap: option 'strict' is true, which does nothing with check_every=0; want it left out");
  EXPECT_USER_ERROR(check({{"epsilon", 0}}, ""), "trap: option 'epsilon' is 0, want 1e-12 to 1");
}

}  // namespace
}  // namespace caltrop
