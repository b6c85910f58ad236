#include "caltrop/train/lora.h"

#include <cmath>

#include <ATen/ATen.h>

namespace caltrop {
namespace {

bool is_target(const std::string& parameter, const std::string& targets) {
  const bool attention = parameter.find(".self_attn.") != std::string::npos;
  const bool mlp = parameter.find(".mlp.") != std::string::npos;
  return (attention && targets != "mlp") || (mlp && targets != "attention");
}

Tensor uniform(at::IntArrayRef shape, double limit, RandomStream& random) {
  Tensor values = at::empty(shape, at::kFloat);
  float* out = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i)
    out[i] = static_cast<float>(limit * (2 * random.uniform() - 1));
  return values;
}

}  // namespace

TrainableWeights::TrainableWeights(const Model& model, const LoraOptions& options, RandomStream random)
    : model_(model), scale_(options.lora_alpha / static_cast<double>(options.lora_rank)) {
  if (options.lora_rank == 0) {
    tensors_ = model.parameters();
    return;
  }
  const at::NoGradGuard no_grad;
  for (const auto& [name, weight] : model.parameters()) {
    if (weight.dim() != 2 || !is_target(name, options.lora_targets)) continue;
    const int64_t out = weight.size(0), in = weight.size(1), rank = options.lora_rank;
    const Tensor a = uniform({rank, in}, 1 / std::sqrt(static_cast<double>(in)), random).to(weight.device());
    const Tensor b = at::zeros({out, rank}, weight.options().requires_grad(false));
    adapted_.push_back({weight, weight.detach().clone(), a, b});
    tensors_.emplace_back("lora_A." + name, a);
    tensors_.emplace_back("lora_B." + name, b);
  }
}

void TrainableWeights::take_gradients() {
  if (adapted_.empty()) return;
  const at::NoGradGuard no_grad;
  for (const Adapted& adapted : adapted_) {
    const Tensor gradient = adapted.weight.grad();
    adapted.a.mutable_grad() = gradient.defined() ? at::mm(adapted.b.t(), gradient).mul_(scale_) : Tensor();
    adapted.b.mutable_grad() = gradient.defined() ? at::mm(gradient, adapted.a.t()).mul_(scale_) : Tensor();
  }
  for (const auto& [name, parameter] : model_.parameters()) parameter.mutable_grad() = Tensor();
}

void TrainableWeights::apply() {
  const at::NoGradGuard no_grad;
  for (const Adapted& adapted : adapted_)
    adapted.weight.copy_(at::addmm(adapted.start, adapted.b, adapted.a, 1, scale_));
}

}  // namespace caltrop
