// An attack rehearsed: the model is trained for real for a few steps, by an optimizer with a state of its own, and afterwards its
// weights are what they were, bit for bit. While it lives, gradients can be measured where the attack has led; `.grad` of the
// parameters belongs to the outer step throughout. Tested by tests/train/rehearsal_test.cc.
#pragma once

#include "caltrop/train/optimizer.h"
#include "caltrop/train/step.h"

namespace caltrop {

class Rehearsal {
 public:
  Rehearsal(const Model& model, const OptimizerOptions& optimizer);

  /// One optimizer step on the gradient of `loss` over `rows`' batch of `stream`, clipped to `clip` (0: not at all). Returns
  /// the loss before it.
  Tensor train(Step& rows, const std::string& stream, const LossFn& loss, double learning_rate,
               double clip = 0);

  /// One optimizer step on these gradients.
  void follow(const Gradients& gradients, double learning_rate);

  /// How far the weights have come: theta_k - theta.
  Gradients displacement() const;

 private:
  const Model& model_;
  SavedWeights saved_;
  std::unique_ptr<Optimizer> optimizer_;
};

}  // namespace caltrop
