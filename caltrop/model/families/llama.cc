// Llama (Touvron et al. 2023) and what shares its architecture: SmolLM2, Llama 3. (Llama 2 and TinyLlama share it too, but their
// tokenizers are not read yet: text/normalizer.cc says so.)
// RMSNorm before attention and MLP, rotary positions (plain, linear and Llama 3 scaling), grouped-query
// attention, SwiGLU, no biases.
#include <cmath>
#include <numbers>

#include "caltrop/base/error.h"
#include "caltrop/model/config.h"

namespace caltrop {
namespace {

int64_t positive(const Json& config, const std::string& key, const std::string& where) {
  const auto value = required<int64_t>(config, key, where);
  if (value <= 0 || value > (int64_t{1} << 32))
    throw UserError("{}: '{}' is {}, want a positive number", where, key, value);
  return value;
}

double above_zero(double value, const std::string& key, const std::string& where) {
  if (!(value > 0 && std::isfinite(value)))
    throw UserError("{}: '{}' is {}, want a number above 0", where, key, value);
  return value;
}

double rope_theta(const Json& config, const std::string& where) {
  const Json nested = optional<Json>(config, "rope_parameters", where, Json::object());  // transformers 5
  return optional<double>(nested, "rope_theta", where,
                          optional<double>(config, "rope_theta", where, 10000.0));
}

/// 1 / theta^(2i/E), then the scaling that config.json asks for (transformers, modeling_rope_utils.py).
std::vector<double> inverse_frequencies(const Json& config, int64_t head_width, const std::string& where) {
  const double theta = above_zero(rope_theta(config, where), "rope_theta", where);
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_width / 2; ++i) {
    frequencies.push_back(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_width)));
  }
  Json scaling = optional<Json>(config, "rope_scaling", where, Json());
  if (scaling.is_null()) scaling = optional<Json>(config, "rope_parameters", where, Json::object());
  const auto type = optional<std::string>(scaling, "rope_type", where,
                                          optional<std::string>(scaling, "type", where, "default"));
  if (type == "default") return frequencies;
  const double factor = above_zero(required<double>(scaling, "factor", where + ": rope_scaling"), "factor",
                                   where + ": rope_scaling");
  if (type == "linear") {
    for (double& f : frequencies) f /= factor;
    return frequencies;
  }
  if (type != "llama3") throw unknown_name(where, "rope_scaling type", type, {"default", "linear", "llama3"});
  const auto low = required<double>(scaling, "low_freq_factor", where + ": rope_scaling");
  const auto high = required<double>(scaling, "high_freq_factor", where + ": rope_scaling");
  const auto original =
      static_cast<double>(required<int64_t>(scaling, "original_max_position_embeddings", where));
  for (double& f : frequencies) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > original / low) {
      f /= factor;
    } else if (wavelength > original / high) {
      const double smooth = (original / wavelength - low) / (high - low);
      f = (1 - smooth) * f / factor + smooth * f;
    }
  }
  return frequencies;
}

void refuse(const Json& config, const std::string& key, const Json& supported, const std::string& where) {
  if (config.contains(key) && !config[key].is_null() && config[key] != supported) {
    throw UserError("{}: '{}' is {}; this family is supported with {} only", where, key, to_line(config[key]),
                    to_line(supported));
  }
}

ModelConfig read(const Json& config, const std::string& where) {
  refuse(config, "hidden_act", "silu", where);
  refuse(config, "attention_bias", false, where);
  refuse(config, "mlp_bias", false, where);
  ModelConfig c;
  c.vocabulary = positive(config, "vocab_size", where);
  c.width = positive(config, "hidden_size", where);
  c.inner_width = positive(config, "intermediate_size", where);
  c.layers = positive(config, "num_hidden_layers", where);
  constexpr int64_t kMostLayers = 10000,
                    kWidestHead = 4096;  // a config that asks for more is broken, and costs memory to find so
  if (c.layers > kMostLayers)
    throw UserError("{}: 'num_hidden_layers' is {}, want at most {}", where, c.layers, kMostLayers);
  c.heads = positive(config, "num_attention_heads", where);
  c.kv_heads = optional<int64_t>(config, "num_key_value_heads", where, c.heads);
  c.head_width = optional<int64_t>(config, "head_dim", where, c.width / c.heads);
  c.context = positive(config, "max_position_embeddings", where);
  c.norm_epsilon = above_zero(optional<double>(config, "rms_norm_eps", where, 1e-6), "rms_norm_eps", where);
  c.tied = optional<bool>(config, "tie_word_embeddings", where, false);
  if (c.kv_heads <= 0 || c.heads % c.kv_heads != 0) {
    throw UserError("{}: {} attention heads cannot share {} key-value heads evenly", where, c.heads,
                    c.kv_heads);
  }
  if (c.head_width <= 0 || c.head_width % 2 != 0 || c.head_width > kWidestHead)
    throw UserError("{}: 'head_dim' is {}, want an even number up to {}", where, c.head_width, kWidestHead);
  c.inverse_frequencies = inverse_frequencies(config, c.head_width, where);
  c.end_ids = read_end_ids(config, where);
  c.source = config;
  return c;
}

}  // namespace

extern const FamilyEntry llama_entry;
const FamilyEntry llama_entry{.name = "llama", .architectures = {"LlamaForCausalLM"}, .read = read};

}  // namespace caltrop
