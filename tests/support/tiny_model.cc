#include "tests/support/tiny_model.h"

#include <cmath>

#include <ATen/ATen.h>

namespace caltrop::test {

Json tiny_config(bool tied) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"vocab_size", 61},
          {"hidden_size", 24},
          {"intermediate_size", 40},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 6},
          {"max_position_embeddings", 128},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 100.0},
          {"tie_word_embeddings", tied},
          {"eos_token_id", 2}};
}

std::shared_ptr<Model> tiny_model(uint64_t seed, bool tied) {
  at::manual_seed(seed);
  ModelConfig config = read_model_config(tiny_config(tied), "tiny");
  NamedTensors parameters;
  for (const auto& [name, shape] : parameter_shapes(config)) {
    const bool norm = shape.size() == 1;
    parameters.emplace_back(name, norm ? 1 + 0.1 * at::randn(shape) : at::randn(shape) * 0.3);
  }
  return std::make_shared<Model>(std::move(config), std::move(parameters), at::kFloat);
}

double difference(const Tensor& a, const Tensor& b) {
  const double d = (a - b).abs().max().item<double>() / std::max(1e-12, b.abs().max().item<double>());
  return std::isfinite(d) ? d : std::numeric_limits<double>::infinity();
}

bool same_bits(const NamedTensors& a, const NamedTensors& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!at::equal(a[i].second.view(at::kInt), b[i].second.view(at::kInt))) return false;
  }
  return a.size() == b.size();
}

NamedTensors copy_of(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) copies.emplace_back(name, tensor.detach().clone());
  return copies;
}

}  // namespace caltrop::test
