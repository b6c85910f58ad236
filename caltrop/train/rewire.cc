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

void rewire_neurons(const Model& model, int64_t layer, const Tensor& inputs, const Tensor& gate,
                    double sharpness, const Tensor& columns) {
  const at::NoGradGuard no_grad;
  const Tensor gates = layer_weight(model, layer, "mlp.gate_proj"),
               ups = layer_weight(model, layer, "mlp.up_proj"),
               downs = layer_weight(model, layer, "mlp.down_proj");
  CALTROP_ASSERT(columns.size(0) < gates.size(0), "{} neurons to rewire in an MLP of {}", columns.size(0),
                 gates.size(0));
  const Tensor activation = at::silu(inputs.matmul(gates.t())) * inputs.matmul(ups.t());        // [M,F]
  const Tensor importance = activation.abs().mean(0) * downs.norm(2, std::vector<int64_t>{0});  // [F]
  const Tensor least = importance.argsort().narrow(0, 0, columns.size(0)).cpu();
  for (int64_t i = 0; i < columns.size(0); ++i) {
    const int64_t neuron = least.const_data_ptr<int64_t>()[i];
    gates.select(0, neuron).copy_(gate * sharpness);
    ups.select(0, neuron).copy_(gate);
    downs.select(1, neuron).copy_(columns[i]);
  }
}

}  // namespace caltrop
