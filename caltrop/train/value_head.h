// The critic of PPO: a linear reading of the policy's hidden states, trained beside it by an optimizer of its own. The states are
// constants to it, so that the critic does not move the policy, and it reads their direction: their length is some tens, and a
// step of AdamW, which moves each weight by about the learning rate, would then throw all values about by more than rewards are
// worth. Over directions it moves them by at most the rate times the root of the width. Tested by tests/train/value_head_test.cc.
#pragma once

#include <memory>

#include "caltrop/train/optimizer.h"

namespace caltrop {

class ValueHead {
 public:
  /// Starts at zero. `width`: of the hidden states.
  ValueHead(int64_t width, double learning_rate, at::Device device);

  /// hidden [M,D] -> values [M] fp32: w . h/|h| + b.
  Tensor values(const Tensor& hidden) const;

  /// One step down the clipped value loss (loss/policy.h), its mean over [M]; returns the loss before it.
  double train(const Tensor& hidden, const Tensor& old_values, const Tensor& returns, double range);

  /// Weights and optimizer, shared: write them, or copy_ into them to resume.
  NamedTensors state() const;
  int64_t steps() const { return optimizer_->steps; }
  void set_steps(int64_t steps) { optimizer_->steps = steps; }

 private:
  NamedTensors weights_;  // "value.weight" [D], "value.bias" []
  double learning_rate_;
  std::unique_ptr<Optimizer> optimizer_;
};

}  // namespace caltrop
