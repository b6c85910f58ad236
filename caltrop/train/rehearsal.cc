#include "caltrop/train/rehearsal.h"

#include <ATen/ATen.h>

namespace caltrop {

Rehearsal::Rehearsal(const Model& model, const OptimizerOptions& optimizer)
    : model_(model), saved_(model), optimizer_(make_optimizer(optimizer, model.parameters())) {}

Tensor Rehearsal::train(Step& rows, const std::string& stream, const LossFn& loss, double learning_rate,
                        double clip) {
  const Measured measured = rows.measure(stream, loss);
  clip_to_norm(measured.gradients, clip);
  follow(measured.gradients, learning_rate);
  return measured.loss;
}

void Rehearsal::follow(const Gradients& gradients, double learning_rate) {
  // The optimizer reads `.grad`, which holds what the outer step has gathered: it is set aside meanwhile.
  Gradients outer;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor parameter = model_.parameters()[i].second;
    outer.push_back(parameter.grad());
    parameter.mutable_grad() = gradients[i];
  }
  optimizer_->step(learning_rate);
  for (size_t i = 0; i < outer.size(); ++i) {
    const Tensor parameter = model_.parameters()[i].second;
    parameter.mutable_grad() = outer[i];
  }
}

Gradients Rehearsal::displacement() const {
  const at::NoGradGuard no_grad;
  Gradients moved;
  for (size_t i = 0; i < saved_.tensors().size(); ++i)
    moved.push_back(model_.parameters()[i].second.detach() - saved_.tensors()[i]);
  return moved;
}

}  // namespace caltrop
