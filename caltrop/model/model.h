// A decoder-only language model with fp32 master parameters.
//
// Parameters are fp32 leaves under their Hugging Face names; computing in bf16 casts each once per change,
// not once per use. The forward pass takes a packed batch (tensor/packed.h): there is no padding anywhere.
// Tested by tests/model/llama_test.cc: logits and every gradient against numbers from transformers.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>

#include "caltrop/kernels/attention.h"
#include "caltrop/model/config.h"
#include "caltrop/tensor/packed.h"

namespace caltrop {

struct ModelOptions {
  std::string device = "auto";  // "auto" (cuda if there is one), "cpu", "cuda", "cuda:1"
  std::string dtype =
      "auto";  // of the computation: "fp32", "bf16"; "auto": bf16 where the device multiplies it fast
};

/// Whether this machine multiplies bf16 matrices faster than fp32 ones (GPU; AVX-512 BF16 or AMX on a CPU).
bool bf16_is_fast(const at::Device& device);

/// What a forward pass computed besides the last hidden states, as asked for.
struct Trace {
  bool keep_states = false;       // in: keep h_0 .. h_L
  std::vector<Tensor> states;     // out: h_0 (embedding) .. h_{L-1} and h_L after the final norm, each [N,D]
  bool keep_mlp_outputs = false;  // in: keep what each layer's MLP adds to the residual stream
  std::vector<Tensor> mlp_outputs;        // out: [N,D] each
  std::vector<int64_t> mlp_input_layers;  // in: keep what the MLPs of these layers read; ascending
  std::vector<Tensor> mlp_inputs;         // out: [N,D] each
  std::vector<Tensor>
      attention_shifts;  // in: added to each layer's attention output, [N,D] each; empty: nothing is
  // in: called with the rotated keys and the values of each layer, both [N,K,E]; how a KV cache is filled
  std::function<void(int64_t layer, const Tensor& keys, const Tensor& values)> on_keys_values;
};

class Model {
 public:
  /// Loads a Hugging Face folder; weights are mapped, not read, where the file already holds fp32.
  /// Throws UserError: missing or unexpected tensors, wrong shapes, values that are not finite, an unknown
  /// architecture.
  static std::shared_ptr<Model> load(const std::filesystem::path& folder, const ModelOptions& options = {});

  /// The same with a configuration of the caller's and tensors, `others`, that are the caller's to read.
  static std::shared_ptr<Model> load(const ModelFolder& files, ModelConfig config,
                                     const std::vector<std::string>& others, const ModelOptions& options);

  /// A model with these parameters (not copied); tests build tiny ones.
  Model(ModelConfig config, NamedTensors parameters, at::ScalarType compute_dtype);

  /// Hidden states after the final norm, [N,D] in the compute dtype.
  Tensor forward(const PackedTokens& tokens, Trace* trace = nullptr) const;

  /// What the MLP of each of these layers reads: hidden states after attention and its norm, [N,D]. Nothing behind the last is computed.
  /// REQUIRES ascending layers, and some.
  std::vector<Tensor> mlp_inputs(const PackedTokens& tokens, const std::vector<int64_t>& layers) const;
  Tensor mlp_input(const PackedTokens& tokens, int64_t layer) const {
    return mlp_inputs(tokens, {layer}).front();
  }

  /// The matrix that turns hidden states into logits, [V,D] in the compute dtype.
  Tensor head() const;

  /// All parameters, fp32, on the device; requires_grad is set.
  const NamedTensors& parameters() const { return parameters_; }
  /// A parameter in the compute dtype, cast once until it changes; gradients flow to the fp32 master.
  Tensor weight(const std::string& name) const;

  /// That cast of a parameter, by its place in parameters(), for an optimizer that writes both in one pass; undefined where there is none.
  Tensor cast(size_t parameter) const { return casts_[parameter].value; }
  /// Both have been written, where there is a cast: weight() takes it as it is.
  void cast_is_current(size_t parameter) const;

  const ModelConfig& config() const { return config_; }
  at::Device device() const { return parameters_.front().second.device(); }
  at::ScalarType compute_dtype() const { return compute_dtype_; }
  const RotaryTables& rotary(int64_t positions) const;  // grown as needed

  /// A copy of the weights as they are, without gradients: a reference that training does not move.
  std::shared_ptr<const Model> frozen_copy() const;

 private:
  /// The residual stream after the attention of a layer, [N,D], from the one before it.
  Tensor attend(int64_t layer, const Tensor& x, const PackedTokens& tokens, Trace* trace) const;
  Tensor norm_before_mlp(int64_t layer, const Tensor& after) const;
  Tensor block(int64_t layer, const Tensor& x, const PackedTokens& tokens, Trace* trace) const;
  PackedTokens placed(const PackedTokens& tokens) const;  // prepare() with tables that are long enough

  ModelConfig config_;
  NamedTensors parameters_;
  at::ScalarType compute_dtype_;
  std::unordered_map<std::string, size_t> index_;
  struct Cast {
    Tensor value;
    int64_t version = -1;
  };
  mutable std::vector<Cast> casts_;
  mutable RotaryTables rotary_;
};

/// What a run with this model needs at its peak, in bytes: masters, gradients, `moments` fp32 copies for the
/// optimizer, `copies` further copies of all weights for the method, and activations for `tokens` tokens, of
/// which `probabilities` bytes wait for the backward behind the head.
int64_t predicted_memory(const ModelConfig& config, at::ScalarType dtype, int64_t moments, int64_t copies,
                         int64_t tokens, int64_t probabilities);

}  // namespace caltrop
