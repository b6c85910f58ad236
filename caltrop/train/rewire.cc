#include "caltrop/train/rewire.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"

namespace caltrop {

Tensor layer_weight(const Model& model, int64_t layer, const std::string& name) {
  const std::string full = fmt::format("model.layers.{}.{}.weight", layer, name);
  for (const auto& [known, tensor] : model.parameters()) {
    if (known == full) return tensor.detach();  // shares memory
  }
  CALTROP_ASSERT(false, "no parameter {}", full);
}

double mean_column_length(const Tensor& weight) {
  return weight.norm(2, std::vector<int64_t>{0}).mean().item<double>();
}

std::vector<Neuron> ramp_neurons(const Tensor& gate, const Tensor& unit, double ramp, double steepness,
                                 const Tensor& up, const Tensor& column) {
  const Tensor scaled = up / (steepness * ramp);
  return {{gate * steepness, scaled, column}, {(gate - unit * ramp) * steepness, scaled, -column}};
}

void rewire_neurons(const Model& model, int64_t layer, const Tensor& inputs,
                    const std::vector<Neuron>& neurons) {
  const at::NoGradGuard no_grad;
  const Tensor gates = layer_weight(model, layer, "mlp.gate_proj"),
               ups = layer_weight(model, layer, "mlp.up_proj"),
               downs = layer_weight(model, layer, "mlp.down_proj");
  const auto count = static_cast<int64_t>(neurons.size());
  CALTROP_ASSERT(count < gates.size(0), "{} neurons to rewire in an MLP of {}", count, gates.size(0));
  const Tensor activation = at::silu(inputs.matmul(gates.t())) * inputs.matmul(ups.t());        // [M,F]
  const Tensor importance = activation.abs().mean(0) * downs.norm(2, std::vector<int64_t>{0});  // [F]
  const Tensor least = importance.argsort().narrow(0, 0, count).cpu();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t place = least.const_data_ptr<int64_t>()[i];
    const Neuron& neuron = neurons[static_cast<size_t>(i)];
    gates.select(0, place).copy_(neuron.gate);
    ups.select(0, place).copy_(neuron.up);
    downs.select(1, place).copy_(neuron.column);
  }
}

}  // namespace caltrop
