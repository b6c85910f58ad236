// What an objective can ask for within one step. Averages belong here: a loss is summed over the
// micro-batches of the step and over ranks and divided once by the total count, so 1x8, 8x1 and two ranks are
// the same algorithm, and a method that looks ahead imagines one attacker and not one a micro-batch. Tested
// by tests/train/step_test.cc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/base/random.h"
#include "caltrop/data/batch.h"
#include "caltrop/loss/total.h"
#include "caltrop/model/model.h"
#include "caltrop/train/saved_weights.h"

namespace caltrop {

/// Named scalar tensors to log.
using Scalars = std::vector<std::pair<std::string, Tensor>>;

/// One tensor a parameter, in the order of Model::parameters().
using Gradients = std::vector<Tensor>;

/// sqrt of the sum of squares over all of them, accumulated in fp64. Scalar fp64.
Tensor global_norm(const Gradients& gradients);
/// Inner product over all of them, accumulated in fp64. Scalar fp64.
Tensor inner_product(const Gradients& a, const Gradients& b);
/// A global norm, and what gradients are to be multiplied with so that it becomes at most the limit (0: there is none), as
/// torch.nn.utils.clip_grad_norm_ does; 1 where the norm is not finite.
struct Clipping {
  double norm, scale;
};
Clipping clipping(const Gradients& gradients, double limit);
/// The same done to them in place. Returns the norm before.
double clip_to_norm(const Gradients& gradients, double limit);

/// One tensor [N,D] for each layer of each micro-batch: indexed [micro-batch][layer].
using ActivationShifts = std::vector<std::vector<Tensor>>;

/// A mean loss and its gradient at the weights as they stood.
struct Measured {
  Tensor loss;          // scalar fp32
  Gradients gradients;  // fp32
};

/// What the MLP of a layer reads, [M,D] fp32 each: at the positions that predict an answer's token, and at the others.
struct MlpInputs {
  Tensor answers, prompts;
};

class Step {
 public:
  using Batches = std::map<std::string, std::vector<Batch>>;
  struct Drawn {
    std::vector<TokenRow> rows;
    std::vector<Batch> batches;  // of these rows
  };
  /// Other rows of a stream, as many as a step has, picked by `random`.
  using DrawOthers = std::function<Drawn(const std::string& stream, const RandomStream& random)>;

  /// `batches`: the micro-batches of each stream for this step. `others`: for fresh().
  Step(int64_t number, uint64_t seed, const Model& model, Batches batches, DrawOthers others = {});

  /// Loss and gradient of `loss` over the step's whole batch of `stream`; `.grad` stays as it was.
  Measured measure(const std::string& stream, const LossFn& loss);

  /// The same of several losses that share one forward pass over the batch.
  std::vector<Measured> measure(const std::string& stream, const std::vector<LossFn>& losses);

  /// The mean loss at another model's weights, with the graph that leads to them: for derivatives through training steps.
  Tensor loss_at(const Model& other, const std::string& stream, const LossFn& loss);

  /// The loss alone, without gradients.
  Tensor measure_loss(const std::string& stream, const LossFn& loss);

  /// Adds weight * gradient to `.grad` and returns the loss: measure and add without a second copy of the
  /// gradients. `shifts` are added to the attention outputs in the forward pass.
  Tensor accumulate(const std::string& stream, const LossFn& loss, double weight = 1.0,
                    const ActivationShifts& shifts = {});

  /// The exact product of the mean loss's Hessian with `direction`, by differentiating twice under MathMode. Costs about
  /// two passes forward and two backward of the plain operators, and the memory of both graphs.
  Gradients hessian_product(const std::string& stream, const LossFn& loss, const Gradients& direction);

  /// The gradient of the mean loss in the output of each layer's attention, for every token.
  ActivationShifts attention_gradients(const std::string& stream, const LossFn& loss);

  /// What another model's hidden states after the final norm are at the positions with a label: [M,D] for each micro-batch.
  /// No gradients.
  std::vector<Tensor> hidden_of(const std::string& stream, const Model& other);
  /// The same of all its layers, h_0 .. h_L: indexed [micro-batch][layer], [M,D] each.
  std::vector<std::vector<Tensor>> states_of(const std::string& stream, const Model& other);

  /// What the MLP of a layer reads over the step's batch of `stream`, at the weights as they stand. No gradients.
  MlpInputs mlp_inputs(const std::string& stream, int64_t layer);

  /// The residual stream in front of a layer, h_l, at every token of the step's batch of `stream`: [M,D] fp32. No gradients.
  Tensor residual_stream(const std::string& stream, int64_t layer);

  /// Adds weight * gradients to `.grad`.
  void add(const Gradients& gradients, double weight = 1.0);

  /// A step over these batches instead of its own, whose passes count as this step's.
  Step over(Batches batches) const;

  /// log p of each label of the step's batch of `stream` under a model: [M] fp32 for each micro-batch. No gradients.
  std::vector<Tensor> log_probabilities(const std::string& stream, const Model& model);

  /// The rows of a stream before they were packed, in order. REQUIRES a step of the training loop.
  const std::vector<TokenRow>& rows(const std::string& stream) const;
  /// For the training loop.
  void keep_rows(std::map<std::string, std::vector<TokenRow>> rows) { rows_ = std::move(rows); }

  /// A step over other rows of these streams, which the random stream called `name` picks: the same after a resume. Its
  /// passes count as this step's; its random streams are its own.
  Step fresh(const std::string& name, const std::vector<std::string>& streams) const;

  /// Rows of a stream in a micro-batch of this step; the last may have fewer.
  int64_t micro_batch_rows(const std::string& stream) const { return batches(stream).front().rows; }
  /// Tokens with a label in the step's batch of a stream.
  int64_t label_count(const std::string& stream) const;

  const Model& model() const { return model_; }
  int64_t number() const { return number_; }  // counts from 0
  /// Passes over the step's batch of one stream, so far.
  int64_t forward_passes() const { return passes_->forward; }
  int64_t backward_passes() const { return passes_->backward; }
  /// The random stream of this name at this step, or of the one that fresh() made: the same after a resume.
  RandomStream random(const std::string& name) const;
  /// The random stream of this name of the run: the same at every step.
  RandomStream random_of_run(const std::string& name) const { return RandomStream(seed_, name); }

 private:
  const std::vector<Batch>& batches(const std::string& stream) const;
  /// The loss of `model` over this rank's micro-batches, undivided.
  Total total(const Model& model, const std::string& stream, const LossFn& loss) const;
  /// Runs backward of weight * mean loss into `.grad`.
  Tensor backward(const std::string& stream, const LossFn& loss, double weight,
                  const ActivationShifts& shifts);

  int64_t number_;
  uint64_t seed_;
  const Model& model_;
  Batches batches_;
  DrawOthers others_;
  std::string scope_;  // of the names of random streams
  std::map<std::string, std::vector<TokenRow>> rows_;
  struct Passes {
    int64_t forward = 0, backward = 0;
  };
  std::shared_ptr<Passes> passes_ = std::make_shared<Passes>();  // with the steps that fresh() made
};

/// While it lives, the model's weights are theta + scale * direction; afterwards they are theta again, bit for bit (the saved
/// values are put back, nothing is subtracted).
class Nudge {
 public:
  Nudge(const Model& model, const Gradients& direction, double scale);
  /// The share of all weights that really changed: rounding eats steps that are small beside the weight.
  double moved() const;

 private:
  const Model& model_;
  SavedWeights saved_;
};

}  // namespace caltrop
