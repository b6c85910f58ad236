// What an optimizer moves: all parameters of a model, or LoRA factors behind some of them (Hu et al. 2021, arXiv:2106.09685).
//
//   W = W_0 + (alpha / r) B A        A [r,in], B [out,r]; at the start A ~ U(-1/sqrt(in), 1/sqrt(in)), B = 0, as in PEFT
//
// The model keeps plain weights: after each step W is computed anew, and the factors' gradients come from W's by the chain rule,
//
//   dL/dA = (alpha / r) B^T dL/dW        dL/dB = (alpha / r) dL/dW A^T
//
// which is LoRA without dropout to the last digit of rounding. So every method, rollout and evaluation works on a model that is
// being tuned by LoRA, and there is nothing to merge in the end. Costs a copy of the adapted weights, where an adapter beside the
// weights would save the optimizer's state and nothing else: gradients of the weights are computed as for full fine-tuning.
// Tested by tests/train/lora_test.cc, also against PEFT (tools/make_lora_baseline.py).
#pragma once

#include "caltrop/base/fields.h"
#include "caltrop/base/random.h"
#include "caltrop/model/model.h"

namespace caltrop {

struct LoraOptions {
  int64_t lora_rank = 0;
  double lora_alpha = 16;
  std::string lora_targets = "all";

  static auto fields() {
    using O = LoraOptions;
    return std::tuple{
        field("lora_rank", &O::lora_rank, 0, 1e5,
              "train factors of this rank behind the matrices of each layer instead of all parameters; 0: "
              "all parameters"),
        field("lora_alpha", &O::lora_alpha, 0, 1e6, "scale of the factors' product, over the rank"),
        field("lora_targets", &O::lora_targets, {"all", "attention", "mlp"},
              "which matrices of each layer have factors")};
  }
};

class TrainableWeights {
 public:
  /// Takes the weights as they are for W_0. `random` draws A.
  TrainableWeights(const Model& model, const LoraOptions& options, RandomStream random);

  /// What the optimizer moves and a checkpoint holds: the parameters, or "lora_A.<parameter>" and "lora_B.<parameter>" of each
  /// adapted one.
  const NamedTensors& tensors() const { return tensors_; }
  /// The model whose parameters() these are; null with factors.
  const Model* model() const { return adapted_.empty() ? &model_ : nullptr; }

  /// Moves the parameters' `.grad` to tensors(): by the chain rule, those of parameters without factors are dropped.
  void take_gradients();
  /// Computes the parameters from tensors(), after these have changed.
  void apply();

 private:
  struct Adapted {
    Tensor weight, start, a, b;
  };

  const Model& model_;
  double scale_;
  std::vector<Adapted> adapted_;  // empty: all parameters are trained
  NamedTensors tensors_;
};

}  // namespace caltrop
