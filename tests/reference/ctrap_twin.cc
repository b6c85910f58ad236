#include "tests/reference/ctrap_twin.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace caltrop::test {

Gradients cross_entropy_gradient(const Model& model, const Batch& batch, int64_t token) {
  std::vector<Tensor> parameters;
  for (const auto& [name, parameter] : model.parameters()) parameters.push_back(parameter);
  const Tensor logits =
      at::linear(model.forward(batch.tokens), model.head()).index_select(0, batch.label_positions);
  const Tensor labels = token < 0 ? batch.labels : at::full_like(batch.labels, token);
  const Tensor loss = at::cross_entropy_loss(logits, labels);
  return torch::autograd::grad({loss}, parameters);
}

Gradients CtrapTwin::gradients(const Model& model, const TwinBatches& batches) const {
  const Gradients refuse = cross_entropy_gradient(model, batches.refusals);
  const Gradients keep = cross_entropy_gradient(model, batches.general);
  const Gradients attack = cross_entropy_gradient(model, batches.harmful);
  double square = 0;
  for (const Tensor& g : attack) square += g.to(at::kDouble).square().sum().item<double>();
  const double step = normalise ? alpha / (std::sqrt(square) + 1e-7) : alpha;

  const at::AutoGradMode off(false);
  std::vector<Tensor> theta;
  for (size_t i = 0; i < attack.size(); ++i) {
    const Tensor& parameter = model.parameters()[i].second;
    theta.push_back(parameter.detach().clone());
    parameter.copy_(parameter - step * attack[i]);
  }
  Gradients collapse, collapse_refusals;
  {
    const at::AutoGradMode on(true);
    collapse = cross_entropy_gradient(model, batches.general, token);
    if (collapse_on_refusals) collapse_refusals = cross_entropy_gradient(model, batches.refusals, token);
  }
  Gradients total;
  for (size_t i = 0; i < attack.size(); ++i) {
    model.parameters()[i].second.copy_(theta[i]);
    Tensor sum = refuse[i] + keep[i] + lambda * collapse[i];
    if (collapse_on_refusals) sum = sum + lambda * collapse_refusals[i];
    total.push_back(sum);
  }
  return total;
}

}  // namespace caltrop::test
