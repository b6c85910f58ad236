#include "caltrop/train/value_head.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(ValueHead, LearnsALinearValueAndLeavesTheStatesAlone) {
  const Tensor hidden = at::randn({64, 5}).requires_grad_(true);
  const Tensor returns = hidden.detach().matmul(at::tensor({1.0f, -2.0f, 0.0f, 0.5f, 0.0f})) + 3;
  ValueHead critic(5, 0.05, at::kCPU);
  EXPECT_TRUE(at::equal(critic.values(hidden), at::zeros({64})));
  double first = 0, last = 0;
  for (int step = 0; step < 400; ++step) {
    last = critic.train(hidden, critic.values(hidden).detach(), returns, 0.5);
    if (step == 0) first = last;
  }
  EXPECT_LT(last, 0.01 * first);
  EXPECT_FALSE(hidden.grad().defined());
  EXPECT_EQ(critic.steps(), 400);
}

TEST(ValueHead, ItsStateIsAllOfIt) {
  const Tensor hidden = at::randn({8, 3}), returns = at::randn({8});
  ValueHead a(3, 0.1, at::kCPU), b(3, 0.1, at::kCPU);
  a.train(hidden, at::zeros({8}), returns, 10);
  const NamedTensors from = a.state(), to = b.state();
  for (size_t i = 0; i < from.size(); ++i) {
    const Tensor target = to[i].second;
    target.copy_(from[i].second);
  }
  b.set_steps(a.steps());
  EXPECT_EQ(a.train(hidden, at::zeros({8}), returns, 10), b.train(hidden, at::zeros({8}), returns, 10));
  EXPECT_TRUE(at::equal(a.values(hidden), b.values(hidden)));
}

}  // namespace
}  // namespace caltrop
