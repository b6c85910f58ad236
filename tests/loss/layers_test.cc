#include "caltrop/loss/layers.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(LayerwiseLoss, IsTheMeanOverStatesReadThroughNormAndHead) {
  at::manual_seed(2);
  LossInputs in;
  in.states = {at::randn({5, 4}), at::randn({5, 4}), at::randn({5, 4})};
  in.hidden = in.states.back();
  in.head = at::randn({7, 4});
  in.labels = at::tensor({0, 6, 3, 3, 1}, at::kLong);
  in.norm_weight = at::randn({4});
  in.norm_epsilon = 1e-5;
  Tensor sum = at::cross_entropy_loss(at::linear(in.hidden, in.head), in.labels, {}, at::Reduction::Sum);
  for (int i = 0; i < 2; ++i) {
    const Tensor normed =
        in.states[i] * at::rsqrt(in.states[i].square().mean({-1}, true) + 1e-5) * in.norm_weight;
    sum = sum + at::cross_entropy_loss(at::linear(normed, in.head), in.labels, {}, at::Reduction::Sum);
  }
  const Total total = layerwise_loss().total(in);
  EXPECT_NEAR(total.sum.item<double>(), sum.item<double>() / 3, 1e-4);
  EXPECT_EQ(total.count, 5);
}

}  // namespace
}  // namespace caltrop
