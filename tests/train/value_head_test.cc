#include "caltrop/train/value_head.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(ValueHead, LearnsALinearValueAndLeavesTheStatesAlone) {
  const Tensor hidden = at::randn({64, 5}).requires_grad_(true);
  const Tensor weights = at::tensor({1.0f, -2.0f, 0.0f, 0.5f, 0.0f});
  const Tensor directions = hidden.detach() / hidden.detach().norm(2, 1, true);
  ValueHead critic(5, 0.05, at::kCPU);
  const Tensor returns = directions.matmul(weights) + 3;
  EXPECT_TRUE(at::equal(critic.values(hidden), at::zeros({64})));
  double first = 0, last = 0;
  for (int step = 0; step < 400; ++step) {
    last = critic.train(hidden, critic.values(hidden).detach(), returns, 0.5);
    if (step == 0) first = last;
  }
  EXPECT_LT(last, 0.01 * first);
  critic.values(hidden).sum().backward();
  EXPECT_FALSE(hidden.grad().defined()) << "the states are constants to it";
  EXPECT_EQ(critic.steps(), 400);
}

TEST(ValueHead, OverLongStatesItIsNoWorseThanAConstant) {
  // As of a real model: states of some tens in length that mostly point one way, rewards of a few hundredths.
  const int64_t width = 576;
  const Tensor common = at::randn({width});
  ValueHead critic(width, 1e-3, at::kCPU);
  double late = 0, spread = 0;
  for (int rollout = 0; rollout < 60; ++rollout) {
    const Tensor hidden = 40 * (common + 0.5 * at::randn({256, width})) / common.norm();
    const Tensor returns = 0.05 + 0.02 * at::randn({256});
    const double loss = critic.train(hidden, critic.values(hidden).detach(), returns, 0.5);
    if (rollout < 40) continue;
    late += loss, spread += 0.5 * returns.var().item<double>();
  }
  EXPECT_LT(late, 1.3 * spread);
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
