#include "caltrop/model/decoder.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/elementwise.h"

namespace caltrop {

Decoder::Decoder(const Model& model, int64_t slots, int64_t context)
    : model_(model),
      dtype_(model.device().is_cpu() ? at::kFloat : model.compute_dtype()),
      lengths_(static_cast<size_t>(slots), 0) {
  const at::NoGradGuard no_grad;
  const ModelConfig& c = model.config();
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    const auto weight = [&](const char* name) { return model.weight(prefix + name); };
    Layer layer;
    layer.norm = weight("input_layernorm.weight").to(dtype_);
    layer.norm_after = weight("post_attention_layernorm.weight").to(dtype_);
    layer.qkv = PackedLinear(at::cat({weight("self_attn.q_proj.weight"), weight("self_attn.k_proj.weight"),
                                      weight("self_attn.v_proj.weight")}));
    layer.output = PackedLinear(weight("self_attn.o_proj.weight"));
    layer.gate_up = PackedLinear(at::cat({weight("mlp.gate_proj.weight"), weight("mlp.up_proj.weight")}));
    layer.down = PackedLinear(weight("mlp.down_proj.weight"));
    const at::TensorOptions options = layer.norm.options().requires_grad(false);
    // Zeros: a position that a mask hides is still multiplied by 0, and 0 times a leftover NaN is NaN.
    layer.cache = {at::zeros({slots, c.kv_heads, context, c.head_width}, options),
                   at::zeros({slots, c.kv_heads, context, c.head_width}, options)};
    layers_.push_back(std::move(layer));
  }
  norm_ = model.weight("model.norm.weight").to(dtype_);
  head_ = PackedLinear(model.head());
}

int64_t Decoder::cache_bytes(const Model& model, int64_t slots, int64_t context) {
  const ModelConfig& c = model.config();
  const int64_t element = model.device().is_cpu() || model.compute_dtype() == at::kFloat ? 4 : 2;
  return 2 * c.layers * slots * c.kv_heads * context * c.head_width * element;
}

Tensor Decoder::prefill(const PackedTokens& tokens, const std::vector<std::vector<int64_t>>& places,
                        const std::vector<int64_t>& slots) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> place, slot, position;  // of every token of every row
  for (size_t r = 0; r < places.size(); ++r) {
    const auto length = static_cast<int64_t>(places[r].size());
    CALTROP_ASSERT(length < layers_.front().cache.keys.size(2), "a prompt of {} tokens in a cache of {}",
                   length, layers_.front().cache.keys.size(2));
    place.insert(place.end(), places[r].begin(), places[r].end());
    slot.insert(slot.end(), places[r].size(), slots[r]);
    for (int64_t i = 0; i < length; ++i) position.push_back(i);
  }
  const auto on_device = [&](const std::vector<int64_t>& v) {
    return at::tensor(v, at::kLong).to(model_.device());
  };
  const Tensor from = on_device(place), to_slot = on_device(slot), to_position = on_device(position);
  Trace trace;
  trace.on_keys_values = [&](int64_t layer, const Tensor& keys, const Tensor& values) {
    const LayerCache& cache = layers_[static_cast<size_t>(layer)].cache;
    const auto fill = [&](const Tensor& all, const Tensor& fresh) {  // [slots,K,context,E], [N,K,E]
      all.transpose(1, 2).index_put_({to_slot, to_position}, fresh.index_select(0, from).to(dtype_));
    };
    fill(cache.keys, keys), fill(cache.values, values);
  };
  const Tensor hidden = model_.forward(tokens, &trace);
  std::vector<int64_t> last;
  for (size_t r = 0; r < places.size(); ++r) {
    last.push_back(places[r].back());
    lengths_[static_cast<size_t>(slots[r])] = static_cast<int64_t>(places[r].size());
  }
  return head_(hidden.index_select(0, at::tensor(last, at::kLong).to(model_.device())).to(dtype_))
      .to(at::kFloat);
}

Tensor Decoder::step(const std::vector<int64_t>& ids, const std::vector<int64_t>& slots) {
  const at::NoGradGuard no_grad;
  const ModelConfig& c = model_.config();
  const int64_t context = layers_.front().cache.keys.size(2);
  std::vector<int64_t> lengths;
  for (const int64_t slot : slots) {
    lengths.push_back(length(slot));
    CALTROP_ASSERT(lengths.back() < context, "token {} in a cache of {}", lengths.back() + 1, context);
  }
  const RotaryTables& rotary = model_.rotary(context);
  const DecodePlaces places(slots, std::move(lengths), rotary, dtype_);

  Tensor x = at::embedding(model_.weight("model.embed_tokens.weight"),
                           at::tensor(ids, at::kLong).to(model_.device()))  // [A,D]
                 .to(dtype_);
  for (const Layer& layer : layers_) {
    const Tensor qkv = layer.qkv(rms_norm(x, layer.norm, c.norm_epsilon));
    x = x + layer.output(decode_attention(qkv, layer.cache, places, rotary, c.heads, c.kv_heads));
    const auto gate_up = layer.gate_up(rms_norm(x, layer.norm_after, c.norm_epsilon)).chunk(2, -1);
    x = x + layer.down(swiglu(gate_up[0], gate_up[1]));
  }
  x = rms_norm(x, norm_, c.norm_epsilon);
  for (const int64_t slot : slots) ++lengths_[static_cast<size_t>(slot)];
  return head_(x).to(at::kFloat);
}

}  // namespace caltrop
