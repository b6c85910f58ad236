// AdamW and SGD with momentum over named fp32 tensors. State is keyed by parameter name, so a checkpoint
// means the same whatever order or address parameters have. Tested by tests/train/optimizer_test.cc against
// numbers from torch.optim.
#pragma once

#include <memory>
#include <string>

#include "caltrop/base/fields.h"
#include "caltrop/model/model.h"

namespace caltrop {

struct OptimizerOptions {
  std::string optimizer = "adamw";
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.9;  // of sgd

  static auto fields() {
    using O = OptimizerOptions;
    return std::tuple{
        field("optimizer", &O::optimizer, {"adamw", "sgd"},
              "which optimizer; fp32 state over fp32 master weights"),
        // Means that begin at 0 and never move cannot be corrected for it: at 1 every weight becomes NaN.
        field("beta1", &O::beta1, 0, 0.999999, "adamw: decay of the mean of gradients"),
        field("beta2", &O::beta2, 0, 0.999999, "adamw: decay of the mean of squared gradients"),
        field("epsilon", &O::epsilon, 0, 1, "adamw: added to the root of the mean square"),
        field("weight_decay", &O::weight_decay, 0, 10,
              "decoupled: weights shrink by learning rate times this each step"),
        field("momentum", &O::momentum, 0, 1, "sgd: decay of the velocity; 0 is plain gradient descent"),
    };
  }
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One step with `gradient_scale` times the parameters' `.grad`; those without one are left alone. Gradients are not cleared, but they
  /// may be scaled.
  virtual void step(double learning_rate, double gradient_scale = 1) = 0;
  /// Named state tensors ("exp_avg.<parameter>", …), shared with the optimizer: write them, or copy_ into
  /// them to resume.
  virtual NamedTensors state() const = 0;
  /// Steps done; set when resuming.
  int64_t steps = 0;
};

/// Full-size fp32 state tensors a parameter: 2 for adamw, 1 or 0 for sgd.
int64_t optimizer_moments(const OptimizerOptions& options);

/// `model`: the one whose parameters() they are, if there is one. AdamW writes its casts in the pass that changes the masters.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const NamedTensors& parameters,
                                          const Model* model = nullptr);

}  // namespace caltrop
