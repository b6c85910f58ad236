#include "caltrop/model/config.h"

#include <cstdint>

#include "caltrop/base/error.h"

namespace caltrop {

ModelConfig read_model_config(const Json& config, const std::string& where) {
  const Json architectures = optional<Json>(config, "architectures", where, Json::array());
  if (!architectures.is_array() || architectures.size() != 1 || !architectures[0].is_string()) {
    throw UserError("{}: 'architectures' is {}, want a list with one name", where, to_line(architectures));
  }
  const auto architecture = architectures[0].get<std::string>();
  std::vector<std::string> known;
  for (const FamilyEntry* family : families()) {
    for (const std::string& name : family->architectures) {
      if (name == architecture) return family->read(config, where);
      known.push_back(name);
    }
  }
  throw unknown_name(where, "architecture", architecture, known);
}

std::vector<int64_t> read_end_ids(const Json& config, const std::string& where) {
  const Json given = optional<Json>(config, "eos_token_id", where, nullptr);
  if (given.is_null()) return {};
  constexpr int64_t kLargest = INT32_MAX;
  std::vector<int64_t> ids;
  for (const Json& id : given.is_array() ? given : Json::array({given})) {
    const bool fits = id.is_number_unsigned()
                          ? id.get<uint64_t>() <= uint64_t{kLargest}
                          : id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() <= kLargest;
    if (!fits) {
      throw UserError("{}: 'eos_token_id' is {}, want a token id (0 to {}) or a list of them", where,
                      to_line(given), kLargest);
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

std::vector<ParameterShape> parameter_shapes(const ModelConfig& c) {
  std::vector<ParameterShape> shapes{{"model.embed_tokens.weight", {c.vocabulary, c.width}}};
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    shapes.push_back({prefix + "input_layernorm.weight", {c.width}});
    shapes.push_back({prefix + "self_attn.q_proj.weight", {c.heads * c.head_width, c.width}});
    shapes.push_back({prefix + "self_attn.k_proj.weight", {c.kv_heads * c.head_width, c.width}});
    shapes.push_back({prefix + "self_attn.v_proj.weight", {c.kv_heads * c.head_width, c.width}});
    shapes.push_back({prefix + "self_attn.o_proj.weight", {c.width, c.heads * c.head_width}});
    shapes.push_back({prefix + "post_attention_layernorm.weight", {c.width}});
    shapes.push_back({prefix + "mlp.gate_proj.weight", {c.inner_width, c.width}});
    shapes.push_back({prefix + "mlp.up_proj.weight", {c.inner_width, c.width}});
    shapes.push_back({prefix + "mlp.down_proj.weight", {c.width, c.inner_width}});
  }
  shapes.push_back({"model.norm.weight", {c.width}});
  if (!c.tied) shapes.push_back({"lm_head.weight", {c.vocabulary, c.width}});
  return shapes;
}

}  // namespace caltrop
