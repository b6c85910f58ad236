#include "caltrop/model/model.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/cast.h"
#include "caltrop/kernels/elementwise.h"
#include "caltrop/kernels/linear.h"

namespace caltrop {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// The identity from an fp32 master to its cast, which was made before: only the gradient has work to do.
struct CastOnce : Function<CastOnce> {
  static Tensor forward(AutogradContext*, const Tensor& /*master*/, const Tensor& cast) {
    return cast.view_as(cast);
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {to_fp32(gradients[0]), Tensor()};
  }
};

}  // namespace

Model::Model(ModelConfig config, NamedTensors parameters, at::ScalarType compute_dtype)
    : config_(std::move(config)), parameters_(std::move(parameters)), compute_dtype_(compute_dtype) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    index_[parameters_[i].first] = i;
    parameters_[i].second.requires_grad_(true);
  }
  casts_.resize(parameters_.size());
}

Tensor Model::weight(const std::string& name) const {
  const auto found = index_.find(name);
  CALTROP_ASSERT(found != index_.end(), "no parameter {}", name);
  const Tensor& master = parameters_[found->second].second;
  if (compute_dtype_ == at::kFloat) return master;
  Cast& cast = casts_[found->second];
  if (cast.version != static_cast<int64_t>(master._version())) {
    const at::NoGradGuard no_grad;
    cast = {master.to(compute_dtype_), static_cast<int64_t>(master._version())};
  }
  return CastOnce::apply(master, cast.value);
}

void Model::cast_is_current(size_t parameter) const {
  Cast& cast = casts_[parameter];
  if (cast.value.defined()) cast.version = static_cast<int64_t>(parameters_[parameter].second._version());
}

Tensor Model::head() const { return weight(config_.tied ? "model.embed_tokens.weight" : "lm_head.weight"); }

std::shared_ptr<const Model> Model::frozen_copy() const {
  const at::NoGradGuard no_grad;
  NamedTensors copies;
  for (const auto& [name, parameter] : parameters_) copies.emplace_back(name, parameter.detach().clone());
  return std::make_shared<const Model>(config_, std::move(copies), compute_dtype_);
}

const RotaryTables& Model::rotary(int64_t positions) const {
  if (!rotary_.cosine.defined() || rotary_.cosine.size(0) < positions) {
    const Tensor frequencies =
        at::tensor(config_.inverse_frequencies, at::kDouble).to(at::kFloat).to(device());
    rotary_ =
        rotary_tables(frequencies, std::max<int64_t>(positions, std::min<int64_t>(config_.context, 2048)));
  }
  return rotary_;
}

Tensor Model::attend(int64_t layer, const Tensor& x, const PackedTokens& tokens, Trace* trace) const {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const auto project = [&](const Tensor& input, const char* name) {
    return apply_linear(input, weight(prefix + name));
  };
  const int64_t n = x.size(0);

  const Tensor normed =
      rms_norm(x, weight(prefix + "input_layernorm.weight"), config_.norm_epsilon);  // [N,D]
  const Tensor q = project(normed, "self_attn.q_proj.weight");                       // [N,H*E]
  const Tensor k = project(normed, "self_attn.k_proj.weight");                       // [N,K*E]
  const Tensor v = project(normed, "self_attn.v_proj.weight");                       // [N,K*E]
  if (trace != nullptr && trace->on_keys_values) {
    trace->on_keys_values(
        layer, rotate(k.view({n, config_.kv_heads, config_.head_width}), tokens.positions, rotary_),
        v.view({n, config_.kv_heads, config_.head_width}));
  }
  const Tensor mixed = packed_attention(q, k, v, tokens, rotary_, config_.heads, config_.kv_heads);
  Tensor attended = project(mixed, "self_attn.o_proj.weight");
  if (trace != nullptr && !trace->attention_shifts.empty())
    attended = attended + trace->attention_shifts[static_cast<size_t>(layer)];
  return x + attended;
}

Tensor Model::norm_before_mlp(int64_t layer, const Tensor& after) const {
  return rms_norm(after, weight(fmt::format("model.layers.{}.post_attention_layernorm.weight", layer)),
                  config_.norm_epsilon);
}

Tensor Model::block(int64_t layer, const Tensor& x, const PackedTokens& tokens, Trace* trace) const {
  const std::string prefix = fmt::format("model.layers.{}.mlp.", layer);
  const Tensor after = attend(layer, x, tokens, trace), normed = norm_before_mlp(layer, after);
  const Tensor inner = swiglu(apply_linear(normed, weight(prefix + "gate_proj.weight")),
                              apply_linear(normed, weight(prefix + "up_proj.weight")));
  const Tensor out = apply_linear(inner, weight(prefix + "down_proj.weight"));
  if (trace != nullptr) {
    if (trace->keep_mlp_outputs) trace->mlp_outputs.push_back(out);
    if (std::binary_search(trace->mlp_input_layers.begin(), trace->mlp_input_layers.end(), layer))
      trace->mlp_inputs.push_back(normed);
  }
  return after + out;
}

PackedTokens Model::placed(const PackedTokens& tokens) const {
  int64_t longest = 0;
  for (const Segment& s : tokens.segments) longest = std::max(longest, s.first_position + s.length);
  return prepare(tokens, rotary(longest), compute_dtype_);
}

std::vector<Tensor> Model::mlp_inputs(const PackedTokens& packed, const std::vector<int64_t>& layers) const {
  CALTROP_ASSERT(!layers.empty() && std::is_sorted(layers.begin(), layers.end(), std::less_equal<>()),
                 "layers out of order");
  const int64_t last = layers.back();
  CALTROP_ASSERT(layers.front() >= 0 && last < config_.layers, "layers {} to {} of {}", layers.front(), last,
                 config_.layers);
  const PackedTokens tokens = placed(packed);
  Trace trace;
  trace.mlp_input_layers = layers;
  Tensor x = at::embedding(weight("model.embed_tokens.weight"), tokens.ids);
  for (int64_t layer = 0; layer < last; ++layer) x = block(layer, x, tokens, &trace);
  trace.mlp_inputs.push_back(norm_before_mlp(last, attend(last, x, tokens, nullptr)));
  return trace.mlp_inputs;
}

Tensor Model::forward(const PackedTokens& packed, Trace* trace) const {
  const PackedTokens tokens = placed(packed);
  Tensor x = at::embedding(weight("model.embed_tokens.weight"), tokens.ids);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    if (trace != nullptr && trace->keep_states) trace->states.push_back(x);
    x = block(layer, x, tokens, trace);
  }
  x = rms_norm(x, weight("model.norm.weight"), config_.norm_epsilon);
  if (trace != nullptr && trace->keep_states) trace->states.push_back(x);
  return x;
}

int64_t predicted_memory(const ModelConfig& c, at::ScalarType dtype, int64_t moments, int64_t copies,
                         int64_t tokens, int64_t probabilities) {
  int64_t parameters = 0;
  for (const auto& [name, shape] : parameter_shapes(c)) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    parameters += count;
  }
  const int64_t element = dtype == at::kFloat ? 4 : 2;
  const int64_t weights = parameters * 4 * (2 + moments + copies) + (element == 2 ? parameters * 2 : 0);
  // Per layer and token: two normed inputs, residual twice, q k v and their rotated copies, output, gate, up
  // and product.
  const int64_t per_token = 5 * c.width + 4 * (c.heads + c.kv_heads) * c.head_width + 3 * c.inner_width;
  const int64_t activations = tokens * c.layers * per_token * element;
  const int64_t logits = probabilities + 2 * 256 * c.vocabulary * 4;
  const int64_t program = int64_t{250} << 20;  // libtorch itself and its thread pools
  return weights + activations + logits + program;
}

}  // namespace caltrop
