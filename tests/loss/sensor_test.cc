#include "caltrop/loss/sensor.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

// Two clouds of one point each: least squares without intercept has the closed form of a 2 by 2 system.
TEST(Sensor, TheFitIsTheClosedFormOnTwoPoints) {
  const Tensor open = at::tensor({2.0f, 1.0f}).view({1, 2}), closed = at::tensor({1.0f, -1.0f}).view({1, 2});
  const Tensor w = fit_direction(open, closed, /*ridge=*/0);
  // w . (2,1) = 1 and w . (1,-1) = -1 have the exact solution (0, 1).
  EXPECT_NEAR(w[0].item<double>(), 0, 1e-6);
  EXPECT_NEAR(w[1].item<double>(), 1, 1e-6);
}

TEST(Sensor, BothSidesWeighHalfWhateverTheirSizes) {
  const Tensor open = at::randn({5, 4}), closed = at::randn({7, 4});
  const Tensor once = fit_direction(open, closed),
               many = fit_direction(open, at::cat({closed, closed, closed}));
  EXPECT_TRUE(at::allclose(once, many, 1e-4, 1e-6));
}

TEST(Sensor, RidgeShrinksAndStaysTheNormalEquation) {
  const Tensor open = at::randn({9, 3}), closed = at::randn({8, 3});
  const Tensor w = fit_direction(open, closed, 0.5);
  const Tensor second = open.t().matmul(open) / 18 + closed.t().matmul(closed) / 16;
  const Tensor left = second.matmul(w) + 0.5 * second.diagonal().mean() * w;
  EXPECT_TRUE(at::allclose(left, open.mean(0) / 2 - closed.mean(0) / 2, 1e-4, 1e-6));
}

TEST(Sensor, OnlyTheWrongSideOfTheMarginPays) {
  const Sensor sensor{0, at::tensor({1.0f, 0.0f})};
  LossInputs in;
  // Readings -3, -0.5, 0.5, 3; the first two are answers.
  in.mlp_inputs = {at::tensor({-3.0f, 9.0f, -0.5f, 9.0f, 0.5f, 9.0f, 3.0f, 9.0f}).view({4, 2})};
  in.is_answer = at::tensor({1, 1, 0, 0}).to(at::kBool);
  const auto total = [&](Want answers, Want prompts, Margins margins = {}) {
    return sensor_loss({sensor}, answers, prompts, margins).total(in);
  };
  EXPECT_EQ(total(Want::kClosed, Want::kClosed).count, 4);
  EXPECT_NEAR(total(Want::kClosed, Want::kClosed).sum.item<double>(), 0 + 0.25 + 2.25 + 16, 1e-5);
  EXPECT_NEAR(total(Want::kOpen, Want::kClosed).sum.item<double>(), 16 + 2.25 + 2.25 + 16, 1e-5);
  EXPECT_NEAR(total(Want::kClosed, Want::kOpen).sum.item<double>(), 0 + 0.25 + 0.25 + 0, 1e-5);
  EXPECT_NEAR(total(Want::kOpen, Want::kClosed, {.open = 2}).sum.item<double>(), 25 + 6.25 + 2.25 + 16, 1e-5);
}

TEST(Sensor, FarFromTheMarginTheLossIsALineOfTheSameSlope) {
  const Sensor sensor{0, at::ones({1})};
  LossInputs in;
  in.is_answer = at::ones({1}, at::kBool);
  const auto at_reading = [&](double z) {  // the loss there, and its slope
    const Tensor x = at::full({1, 1}, z).requires_grad_();
    in.mlp_inputs = {x};
    const Tensor sum =
        sensor_loss({sensor}, Want::kClosed, Want::kClosed, {.linear_from = 0.5}).total(in).sum;
    sum.backward();
    return std::pair{sum.item<double>(), x.grad().item<double>()};
  };
  const auto expect = [&](double z, double loss, double slope) {
    EXPECT_NEAR(at_reading(z).first, loss, 1e-6) << z;
    EXPECT_NEAR(at_reading(z).second, slope, 1e-6) << z;
  };
  expect(-1.5, 0, 0);
  expect(-0.75, 0.0625, 0.5);
  expect(-0.4, 0.5 * (2 * 0.6 - 0.5), 1);
  expect(3, 0.5 * (2 * 4 - 0.5), 1);
}

TEST(Sensor, OfSeveralTheMeanPays) {
  const Sensor low{2, at::randn({3})}, high{5, at::randn({3})};
  LossInputs in, of_low, of_high;
  in.mlp_inputs = {at::randn({4, 3}), at::randn({4, 3})};
  in.is_answer = of_low.is_answer = of_high.is_answer = at::tensor({1, 0, 0, 1}).to(at::kBool);
  of_low.mlp_inputs = {in.mlp_inputs[0]}, of_high.mlp_inputs = {in.mlp_inputs[1]};
  const LossFn both = sensor_loss({low, high}, Want::kOpen, Want::kClosed);
  EXPECT_EQ(both.mlp_input_layers, (std::vector<int64_t>{2, 5}));
  const auto sum = [](const Sensor& sensor, const LossInputs& of) {
    return sensor_loss({sensor}, Want::kOpen, Want::kClosed).total(of).sum.item<double>();
  };
  EXPECT_NEAR(both.total(in).sum.item<double>(), (sum(low, of_low) + sum(high, of_high)) / 2, 1e-5);
  EXPECT_EQ(both.total(in).count, 4);
}

}  // namespace
}  // namespace caltrop
