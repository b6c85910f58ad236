// An attack rehearsed: the model is trained for real for a few steps, by an optimizer with a state of its own, and afterwards its
// weights are what they were, bit for bit. While it lives, gradients can be measured where the attack has led; `.grad` of the
// parameters belongs to the outer step throughout. Holds a copy of the weights and the optimizer's moments. Tested by
// tests/train/rehearsal_test.cc.
#pragma once

#include "caltrop/train/lora.h"
#include "caltrop/train/optimizer.h"
#include "caltrop/train/step.h"

namespace caltrop {

class Rehearsal {
 public:
  /// `random` draws the factors where `lora` has a rank.
  Rehearsal(const Model& model, const OptimizerOptions& optimizer, const LoraOptions& lora = {},
            RandomStream random = RandomStream(0, "LoRA"));

  /// One optimizer step on the gradient of `loss` over `rows`' batch of `stream`, clipped to `clip` (0: not at all). Returns
  /// the loss before it.
  Tensor train(Step& rows, const std::string& stream, const LossFn& loss, double learning_rate,
               double clip = 0);

  /// One optimizer step on these gradients, which may be scaled on the way, clipped to `clip`.
  void follow(const Gradients& gradients, double learning_rate, double clip = 0);

  /// How far the weights have come: theta_k - theta.
  Gradients displacement() const;

 private:
  const Model& model_;
  SavedWeights saved_;
  TrainableWeights weights_;
  std::unique_ptr<Optimizer> optimizer_;
};

}  // namespace caltrop
