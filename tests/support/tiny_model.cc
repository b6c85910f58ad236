#include "tests/support/tiny_model.h"

#include <cmath>

#include <ATen/ATen.h>

#include "caltrop/base/files.h"
#include "caltrop/io/model_folder.h"

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

std::filesystem::path write_tiny_folder(const std::filesystem::path& folder, uint64_t seed) {
  Json config = tiny_config();
  config["vocab_size"] = 512;
  config["max_position_embeddings"] = 1024;
  config["rope_theta"] = 10000.0;
  at::manual_seed(seed);
  NamedTensors parameters;
  for (const auto& [name, shape] : parameter_shapes(read_model_config(config, "tiny"))) {
    parameters.emplace_back(name, shape.size() == 1 ? at::ones(shape) : at::randn(shape) * 0.1);
  }
  TextFiles files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    files.emplace_back(name, read_file(data_file(std::string("tiny-model/") + name)));
  }
  write_model_folder(folder, config, Json(), parameters, files);
  return folder;
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
