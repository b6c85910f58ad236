#include "caltrop/train/value_head.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/loss/policy.h"

namespace caltrop {

ValueHead::ValueHead(int64_t width, double learning_rate, at::Device device) : learning_rate_(learning_rate) {
  const auto options = at::TensorOptions(at::kFloat).device(device);
  weights_ = {{"value.weight", at::zeros({width}, options).requires_grad_(true)},
              {"value.bias", at::zeros({1}, options).requires_grad_(true)}};
  optimizer_ = make_optimizer(OptimizerOptions{}, weights_);
}

Tensor ValueHead::values(const Tensor& hidden) const {
  const Tensor states = hidden.detach().to(at::kFloat);
  const Tensor directions = states / states.norm(2, /*dim=*/1, /*keepdim=*/true).clamp_min(1e-6);
  return directions.matmul(weights_[0].second) + weights_[1].second;
}

double ValueHead::train(const Tensor& hidden, const Tensor& old_values, const Tensor& returns, double range) {
  const at::AutoGradMode with_gradients(true);
  const Tensor loss = clipped_value_terms(values(hidden), old_values, returns, range).mean();
  const auto gradients = torch::autograd::grad({loss}, {weights_[0].second, weights_[1].second});
  for (size_t i = 0; i < weights_.size(); ++i) weights_[i].second.mutable_grad() = gradients[i];
  optimizer_->step(learning_rate_);
  return loss.item<double>();
}

NamedTensors ValueHead::state() const {
  NamedTensors tensors;
  for (const auto& [name, weight] : weights_) tensors.emplace_back(name, weight.detach());
  for (const auto& [name, tensor] : optimizer_->state()) tensors.emplace_back("optimizer." + name, tensor);
  return tensors;
}

}  // namespace caltrop
