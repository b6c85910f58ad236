#include "caltrop/train/rehearsal.h"

#include <ATen/ATen.h>

namespace caltrop {

Rehearsal::Rehearsal(const Model& model, const OptimizerOptions& optimizer, const LoraOptions& lora,
                     RandomStream random)
    : model_(model),
      saved_(model),
      weights_(model, lora, random),
      optimizer_(make_optimizer(optimizer, weights_.tensors(), weights_.model())) {}

Tensor Rehearsal::train(Step& rows, const std::string& stream, const LossFn& loss, double learning_rate,
                        double clip) {
  const Measured measured = rows.measure(stream, loss);
  follow(measured.gradients, learning_rate, clip);
  return measured.loss;
}

void Rehearsal::follow(const Gradients& gradients, double learning_rate, double clip) {
  // The optimizer reads `.grad`, which holds what the outer step has gathered: it is set aside meanwhile.
  Gradients outer;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor parameter = model_.parameters()[i].second;
    outer.push_back(parameter.grad());
    parameter.mutable_grad() = gradients[i];
  }
  weights_.take_gradients();
  Gradients trained;
  for (const auto& [name, tensor] : weights_.tensors()) {
    if (tensor.grad().defined()) trained.push_back(tensor.grad());
  }
  optimizer_->step(learning_rate, clipping(trained, clip).scale);
  weights_.apply();
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
