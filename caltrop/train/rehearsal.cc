#include "caltrop/train/rehearsal.h"

#include <ATen/ATen.h>

namespace caltrop {

Rehearsal::Rehearsal(const Model& model, const OptimizerOptions& optimizer)
    : model_(model), optimizer_(make_optimizer(optimizer, model.parameters())) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : model.parameters()) saved_.push_back(parameter.detach().clone());
}

Rehearsal::~Rehearsal() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < saved_.size(); ++i) model_.parameters()[i].second.copy_(saved_[i]);
}

Tensor Rehearsal::train(Step& rows, const std::string& stream, const LossFn& loss, double learning_rate,
                        double clip) {
  const Measured measured = rows.measure(stream, loss);
  if (clip > 0) {
    const double scale = clip / (global_norm(measured.gradients).item<double>() + 1e-6);
    if (scale < 1) {
      for (const Tensor& gradient : measured.gradients) gradient.mul_(scale);
    }
  }
  follow(measured.gradients, learning_rate);
  return measured.loss;
}

void Rehearsal::follow(const Gradients& gradients, double learning_rate) {
  // The optimizer reads `.grad`, which holds what the outer step has gathered: it is set aside meanwhile.
  Gradients outer;
  for (size_t i = 0; i < saved_.size(); ++i) {
    const Tensor parameter = model_.parameters()[i].second;
    outer.push_back(parameter.grad());
    parameter.mutable_grad() = gradients[i];
  }
  optimizer_->step(learning_rate);
  for (size_t i = 0; i < saved_.size(); ++i) {
    const Tensor parameter = model_.parameters()[i].second;
    parameter.mutable_grad() = outer[i];
  }
}

Gradients Rehearsal::displacement() const {
  const at::NoGradGuard no_grad;
  Gradients moved;
  for (size_t i = 0; i < saved_.size(); ++i)
    moved.push_back(model_.parameters()[i].second.detach() - saved_[i]);
  return moved;
}

}  // namespace caltrop
