// What an objective can ask for within one step. Averages belong here: a loss is summed over the
// micro-batches of the step and over ranks and divided once by the total count, so 1x8, 8x1 and two ranks are
// the same algorithm, and a method that looks ahead imagines one attacker and not one a micro-batch. Tested
// by tests/train/step_test.cc.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "caltrop/base/random.h"
#include "caltrop/data/batch.h"
#include "caltrop/loss/total.h"
#include "caltrop/model/model.h"

namespace caltrop {

/// Named scalar tensors to log.
using Scalars = std::vector<std::pair<std::string, Tensor>>;

/// One tensor a parameter, in the order of Model::parameters().
using Gradients = std::vector<Tensor>;

/// sqrt of the sum of squares over all of them, accumulated in fp64. Scalar fp64.
Tensor global_norm(const Gradients& gradients);
/// Inner product over all of them, accumulated in fp64. Scalar fp64.
Tensor inner_product(const Gradients& a, const Gradients& b);

/// A mean loss and its gradient at the weights as they stood.
struct Measured {
  Tensor loss;          // scalar fp32
  Gradients gradients;  // fp32
};

class Step {
 public:
  using Batches = std::map<std::string, std::vector<Batch>>;

  /// `batches`: the micro-batches of each stream for this step.
  Step(int64_t number, uint64_t seed, const Model& model, Batches batches);

  /// Loss and gradient of `loss` over the step's whole batch of `stream`; `.grad` stays as it was.
  Measured measure(const std::string& stream, const LossFn& loss);

  /// The loss alone, without gradients.
  Tensor measure_loss(const std::string& stream, const LossFn& loss);

  /// Adds weight * gradient to `.grad` and returns the loss: measure and add without a second copy of the
  /// gradients.
  Tensor accumulate(const std::string& stream, const LossFn& loss, double weight = 1.0);

  /// Adds weight * gradients to `.grad`.
  void add(const Gradients& gradients, double weight = 1.0);

  const Model& model() const { return model_; }
  int64_t number() const { return number_; }  // counts from 0
  /// Passes over the step's batch of one stream, so far.
  int64_t forward_passes() const { return forward_passes_; }
  int64_t backward_passes() const { return backward_passes_; }
  /// The random stream of this name at this step: the same after a resume.
  RandomStream random(const std::string& name) const;

 private:
  const std::vector<Batch>& batches(const std::string& stream) const;
  /// Runs backward of weight * mean loss into `.grad`.
  Tensor backward(const std::string& stream, const LossFn& loss, double weight);

  int64_t number_;
  uint64_t seed_;
  const Model& model_;
  Batches batches_;
  int64_t forward_passes_ = 0, backward_passes_ = 0;
};

/// While it lives, the model's weights are theta + scale * direction; afterwards they are theta again, bit
/// for bit, also when something throws (the saved values are put back, nothing is subtracted). At most one
/// lives at a time.
class Nudge {
 public:
  Nudge(const Model& model, const Gradients& direction, double scale);
  ~Nudge();
  Nudge(const Nudge&) = delete;
  Nudge& operator=(const Nudge&) = delete;

 private:
  const Model& model_;
  Gradients saved_;
};

}  // namespace caltrop
