#include "caltrop/train/optimizer.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/adamw.h"

namespace caltrop {
namespace {

class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerOptions& options, const NamedTensors& parameters, const Model* model)
      : options_(options), parameters_(parameters), model_(model) {
    for (const auto& [name, p] : parameters_) {
      mean_.push_back(at::zeros_like(p));
      square_.push_back(at::zeros_like(p));
    }
  }

  void step(double learning_rate, double gradient_scale) override {
    ++steps;
    std::vector<Tensor> weights, gradients, means, squares, casts;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& weight = parameters_[i].second;
      if (!weight.grad().defined()) continue;
      weights.push_back(weight), gradients.push_back(weight.grad());
      means.push_back(mean_[i]), squares.push_back(square_[i]);
      casts.push_back(model_ != nullptr ? model_->cast(i) : Tensor());
    }
    adamw_step(weights, gradients, means, squares,
               {.number = steps,
                .learning_rate = learning_rate,
                .beta1 = options_.beta1,
                .beta2 = options_.beta2,
                .epsilon = options_.epsilon,
                .weight_decay = options_.weight_decay,
                .gradient_scale = gradient_scale},
               casts);
    for (size_t i = 0; model_ != nullptr && i < parameters_.size(); ++i) {
      if (parameters_[i].second.grad().defined()) model_->cast_is_current(i);
    }
  }

  NamedTensors state() const override {
    NamedTensors named;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      named.emplace_back("exp_avg." + parameters_[i].first, mean_[i]);
      named.emplace_back("exp_avg_sq." + parameters_[i].first, square_[i]);
    }
    return named;
  }

 private:
  OptimizerOptions options_;
  NamedTensors parameters_;
  const Model* model_;
  std::vector<Tensor> mean_, square_;
};

/// v = momentum v + g;  w -= lr (v + weight_decay w). torch.optim.SGD's momentum, AdamW's decoupled decay.
class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerOptions& options, const NamedTensors& parameters)
      : options_(options), parameters_(parameters) {
    if (options_.momentum == 0) return;
    for (const auto& [name, p] : parameters_) velocity_.push_back(at::zeros_like(p));
  }

  void step(double learning_rate, double gradient_scale) override {
    const at::NoGradGuard no_grad;
    ++steps;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& weight = parameters_[i].second;
      Tensor gradient = weight.grad();
      if (!gradient.defined()) continue;
      double scale = gradient_scale;
      if (!velocity_.empty()) {
        gradient = velocity_[i].mul_(options_.momentum).add_(gradient, scale);
        scale = 1;
      }
      if (options_.weight_decay != 0) weight.mul_(1 - learning_rate * options_.weight_decay);
      weight.add_(gradient, -learning_rate * scale);
    }
  }

  NamedTensors state() const override {
    NamedTensors named;
    for (size_t i = 0; i < velocity_.size(); ++i)
      named.emplace_back("velocity." + parameters_[i].first, velocity_[i]);
    return named;
  }

 private:
  OptimizerOptions options_;
  NamedTensors parameters_;
  std::vector<Tensor> velocity_;
};

}  // namespace

int64_t optimizer_moments(const OptimizerOptions& options) {
  if (options.optimizer == "adamw") return 2;
  return options.momentum == 0 ? 0 : 1;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const NamedTensors& parameters,
                                          const Model* model) {
  if (options.optimizer == "adamw") return std::make_unique<AdamW>(options, parameters, model);
  return std::make_unique<Sgd>(options, parameters);
}

}  // namespace caltrop
