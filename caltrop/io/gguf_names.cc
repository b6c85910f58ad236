#include "caltrop/io/gguf_names.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include <fmt/ranges.h>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

/// The sizes of a llama, from its metadata.
struct Sizes {
  int64_t layers, hidden, inner, heads, kv_heads, head_width, vocabulary;
};

std::string where(const GgufFile& file) { return file.path().string() + ": metadata"; }

int64_t size_of(const GgufFile& file, const std::string& key) {
  const auto value = required<int64_t>(file.metadata(), key, where(file));
  if (value < 1 || value > (1 << 30)) {
    throw UserError("{}: '{}' is {}, want 1 to 2^30", where(file), key, to_line(file.metadata()[key]));
  }
  return value;
}

int64_t size_of(const GgufFile& file, const std::string& key, int64_t fallback) {
  return file.metadata().contains(key) ? size_of(file, key) : fallback;
}

/// A positive 32-bit float as the number that its author wrote: 1e-05, not 9.999999747378752e-06. Both are
/// the same float, and so the same model in fp32.
double number_of(const GgufFile& file, const std::string& key) {
  const auto value = static_cast<float>(required<double>(file.metadata(), key, where(file)));
  if (!(value > 0 && std::isfinite(value)))
    throw UserError("{}: '{}' is {}, want a positive number", where(file), key, value);
  return std::stod(fmt::format("{}", value));
}

double number_of(const GgufFile& file, const std::string& key, double fallback) {
  return file.metadata().contains(key) ? number_of(file, key) : fallback;
}

void refuse(const GgufFile& file, const std::string& what) {
  throw UserError(
      "{}: {}, which LlamaForCausalLM as Caltrop imports it does not have; if there is a Hugging Face folder "
      "of this model, import that",
      file.path().string(), what);
}

/// Features that arch "llama" may carry in llama.cpp and that our config could not express.
void check_features(const GgufFile& file) {
  const Json& metadata = file.metadata();
  const auto architecture = required<std::string>(metadata, "general.architecture", where(file));
  if (architecture != "llama") {
    throw UserError("{}: the architecture is '{}', want one of: llama", file.path().string(), architecture);
  }
  if (optional<int64_t>(metadata, "split.count", where(file), 1) > 1) {
    throw UserError("{}: is part of a model in {} files; join them first: `llama-gguf-split --merge`",
                    file.path().string(), to_line(metadata["split.count"]));
  }
  if (optional<int64_t>(metadata, "llama.expert_count", where(file), 0) > 0) {
    refuse(file, fmt::format("the model has {} experts", to_line(metadata["llama.expert_count"])));
  }
  const auto scaling = optional<std::string>(metadata, "llama.rope.scaling.type", where(file), "none");
  for (const char* key :
       {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {  // without a type it means linear
    const double factor = optional<double>(metadata, key, where(file), 1);
    if (!metadata.contains("llama.rope.scaling.type") && factor != 0 && factor != 1)
      refuse(file, fmt::format("the rotary positions are scaled ('{}' is {})", key, factor));
  }
  if (scaling != "none") refuse(file, fmt::format("the rotary positions are scaled ('{}')", scaling));
  if (file.has("rope_freqs.weight")) {
    refuse(file, "the rotary positions are scaled (tensor 'rope_freqs.weight', as in Llama 3.1)");
  }
}

Sizes read_sizes(const GgufFile& file) {
  Sizes sizes{};
  sizes.layers = size_of(file, "llama.block_count");
  if (std::cmp_greater(sizes.layers, file.entries().size())) {  // bounds the list of tensors to look for
    throw UserError("{}: 'llama.block_count' is {}, but the file has only {} tensors", where(file),
                    sizes.layers, file.entries().size());
  }
  sizes.hidden = size_of(file, "llama.embedding_length");
  sizes.inner = size_of(file, "llama.feed_forward_length");
  sizes.heads = size_of(file, "llama.attention.head_count");
  sizes.kv_heads = size_of(file, "llama.attention.head_count_kv", sizes.heads);
  const int64_t rotated = size_of(file, "llama.rope.dimension_count", sizes.hidden / sizes.heads);
  sizes.head_width = size_of(file, "llama.attention.key_length", rotated);
  if (rotated != sizes.head_width) {
    refuse(file, fmt::format("only {} of the {} numbers of a head are rotated", rotated, sizes.head_width));
  }
  const int64_t value_width = size_of(file, "llama.attention.value_length", sizes.head_width);
  if (value_width != sizes.head_width) {
    refuse(file, fmt::format("keys have {} numbers a head and values {}", sizes.head_width, value_width));
  }
  if (sizes.head_width % 2 != 0 || sizes.heads % sizes.kv_heads != 0) {
    throw UserError("{}: {} heads of {} numbers on {} key-value heads, want an even width and a whole ratio",
                    where(file), sizes.heads, sizes.head_width, sizes.kv_heads);
  }
  if (!file.has("token_embd.weight"))
    throw UserError("{}: tensor 'token_embd.weight' is missing", file.path().string());
  const auto embedding =
      std::find_if(file.entries().begin(), file.entries().end(),
                   [](const GgufEntry& entry) { return entry.name == "token_embd.weight"; });
  const int64_t rows = embedding->shape.empty() ? 0 : embedding->shape[0];
  sizes.vocabulary = size_of(file, "llama.vocab_size", rows);
  return sizes;
}

/// One tensor that a llama has.
struct Row {
  std::string gguf_name, name;
  std::vector<int64_t> shape;
  int64_t heads;  // number of heads whose rows the converter reordered, or 0
};

std::vector<Row> rows_of(const Sizes& s, bool tied) {
  const int64_t query = s.heads * s.head_width;
  const int64_t key = s.kv_heads * s.head_width;
  std::vector<Row> rows{{"token_embd.weight", "model.embed_tokens.weight", {s.vocabulary, s.hidden}, 0}};
  for (int64_t i = 0; i < s.layers; ++i) {
    const std::string from = fmt::format("blk.{}.", i);
    const std::string to = fmt::format("model.layers.{}.", i);
    const auto add = [&](const char* gguf_name, const char* name, std::vector<int64_t> shape,
                         int64_t heads = 0) {
      rows.push_back({from + gguf_name + ".weight", to + name + ".weight", std::move(shape), heads});
    };
    add("attn_q", "self_attn.q_proj", {query, s.hidden}, s.heads);
    add("attn_k", "self_attn.k_proj", {key, s.hidden}, s.kv_heads);
    add("attn_v", "self_attn.v_proj", {key, s.hidden});
    add("attn_output", "self_attn.o_proj", {s.hidden, query});
    add("ffn_gate", "mlp.gate_proj", {s.inner, s.hidden});
    add("ffn_up", "mlp.up_proj", {s.inner, s.hidden});
    add("ffn_down", "mlp.down_proj", {s.hidden, s.inner});
    add("attn_norm", "input_layernorm", {s.hidden});
    add("ffn_norm", "post_attention_layernorm", {s.hidden});
  }
  rows.push_back({"output_norm.weight", "model.norm.weight", {s.hidden}, 0});
  if (!tied) rows.push_back({"output.weight", "lm_head.weight", {s.vocabulary, s.hidden}, 0});
  return rows;
}

/// Rows of each head from pairs (x0 y0 x1 y1 …) back to halves (x0 x1 … y0 y1 …); transformers does the same
/// in LlamaTensorProcessor._reverse_permute_weights.
Tensor pairs_to_halves(const Tensor& weight, int64_t heads) {
  const int64_t columns = weight.size(1);
  return weight.reshape({heads, weight.size(0) / heads / 2, 2, columns})
      .transpose(1, 2)
      .reshape({weight.size(0), columns});
}

NamedTensors read_tensors(const GgufFile& file, const std::vector<Row>& rows) {
  std::map<std::string, const GgufEntry*> entries;
  for (const GgufEntry& entry : file.entries()) entries[entry.name] = &entry;
  // Everything is checked before anything is dequantised.
  for (const Row& row : rows) {
    const auto found = entries.find(row.gguf_name);
    if (found == entries.end()) {
      throw UserError("{}: tensor '{}' is missing", file.path().string(), row.gguf_name);
    }
    if (found->second->shape != row.shape) {
      throw UserError("{}: tensor '{}': shape is {}, want {} by the metadata", file.path().string(),
                      row.gguf_name, found->second->shape, row.shape);
    }
    entries.erase(found);
  }
  if (!entries.empty()) refuse(file, fmt::format("there is a tensor '{}'", entries.begin()->first));

  NamedTensors tensors;
  for (const Row& row : rows) {
    const Tensor tensor = file.tensor(row.gguf_name);
    tensors.emplace_back(row.name, row.heads > 0 ? pairs_to_halves(tensor, row.heads) : tensor);
  }
  return tensors;
}

/// A list in the metadata; empty if it is not there.
template <typename T, typename Fits>
std::vector<T> list_of(const GgufFile& file, const std::string& key, Fits fits, const char* want) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return {};
  if (!found->is_array() || !std::all_of(found->begin(), found->end(), fits)) {
    throw UserError("{}: '{}' is not a list of {}", where(file), key, want);
  }
  return found->get<std::vector<T>>();
}

std::vector<std::string> texts(const GgufFile& file, const std::string& key) {
  return list_of<std::string>(file, key, [](const Json& item) { return item.is_string(); }, "strings");
}

template <typename T>
std::optional<T> maybe(const GgufFile& file, const std::string& key) {
  if (!file.metadata().contains(key)) return std::nullopt;
  return required<T>(file.metadata(), key, where(file));
}

GgufVocabularyData read_vocabulary(const GgufFile& file, int64_t size) {
  const std::string prefix = "tokenizer.ggml.";
  GgufVocabularyData vocabulary;
  vocabulary.model = required<std::string>(file.metadata(), prefix + "model", where(file));
  vocabulary.pre = maybe<std::string>(file, prefix + "pre").value_or("");
  vocabulary.tokens = texts(file, prefix + "tokens");
  vocabulary.merges = texts(file, prefix + "merges");
  vocabulary.token_types = list_of<int64_t>(
      file, prefix + "token_type", [](const Json& item) { return item.is_number_integer(); }, "integers");
  vocabulary.scores =
      list_of<double>(file, prefix + "scores", [](const Json& item) { return item.is_number(); }, "numbers");
  if (vocabulary.tokens.empty() || std::cmp_greater(vocabulary.tokens.size(), size)) {
    throw UserError("{}: '{}tokens' has {} items, want 1 to {}, the rows of 'token_embd.weight'", where(file),
                    prefix, vocabulary.tokens.size(), size);
  }
  for (const auto& [key, count] : {std::pair("token_type", vocabulary.token_types.size()),
                                   std::pair("scores", vocabulary.scores.size())}) {
    if (count != 0 && count != vocabulary.tokens.size()) {
      throw UserError("{}: '{}{}' has {} items, want {}, one a token", where(file), prefix, key, count,
                      vocabulary.tokens.size());
    }
  }
  const auto id = [&](const char* key) {
    const auto value = maybe<int64_t>(file, prefix + key);
    if (value && (*value < 0 || *value >= size)) {
      throw UserError("{}: '{}{}' is {}, want 0 to {}", where(file), prefix, key, *value, size - 1);
    }
    return value;
  };
  vocabulary.bos_id = id("bos_token_id");
  vocabulary.eos_id = id("eos_token_id");
  vocabulary.unknown_id = id("unknown_token_id");
  vocabulary.padding_id = id("padding_token_id");
  vocabulary.add_bos = maybe<bool>(file, prefix + "add_bos_token");
  if (maybe<bool>(file, prefix + "add_eos_token").value_or(false))
    refuse(file, fmt::format("every text ends with EOS ('{}add_eos_token')", prefix));
  vocabulary.add_space_prefix = maybe<bool>(file, prefix + "add_space_prefix");
  vocabulary.chat_template = maybe<std::string>(file, "tokenizer.chat_template");
  return vocabulary;
}

/// The special ids: config.json and generation_config.json have the same ones. null says that there is none,
/// where a missing key would mean the class's default.
void add_ids(Json& config, const GgufVocabularyData& vocabulary) {
  const auto add = [&](const char* key, const std::optional<int64_t>& id) {
    config[key] = id ? Json(*id) : Json(nullptr);
  };
  add("bos_token_id", vocabulary.bos_id);
  add("eos_token_id", vocabulary.eos_id);
  add("pad_token_id", vocabulary.padding_id);
}

Json make_config(const GgufFile& file, const Sizes& sizes, bool tied, const GgufVocabularyData& vocabulary) {
  Json config = {{"architectures", Json::array({"LlamaForCausalLM"})},
                 {"model_type", "llama"},
                 {"hidden_size", sizes.hidden},
                 {"intermediate_size", sizes.inner},
                 {"num_hidden_layers", sizes.layers},
                 {"num_attention_heads", sizes.heads},
                 {"num_key_value_heads", sizes.kv_heads},
                 {"head_dim", sizes.head_width},
                 {"vocab_size", sizes.vocabulary},
                 {"max_position_embeddings", size_of(file, "llama.context_length")},
                 {"rms_norm_eps", number_of(file, "llama.attention.layer_norm_rms_epsilon")},
                 {"rope_theta", number_of(file, "llama.rope.freq_base", 10000)},
                 {"rope_scaling", nullptr},
                 {"hidden_act", "silu"},
                 {"attention_bias", false},
                 {"attention_dropout", 0.0},
                 {"mlp_bias", false},
                 {"tie_word_embeddings", tied},
                 {"torch_dtype", "float32"},
                 {"use_cache", true}};
  add_ids(config, vocabulary);
  return config;
}

}  // namespace

ImportedModel import_gguf(const GgufFile& file) {
  check_features(file);
  const Sizes sizes = read_sizes(file);
  const bool tied = !file.has("output.weight");

  ImportedModel model;
  model.vocabulary = read_vocabulary(file, sizes.vocabulary);
  model.config = make_config(file, sizes, tied, model.vocabulary);
  model.generation_config = Json::object();
  add_ids(model.generation_config, model.vocabulary);
  model.tensors = read_tensors(file, rows_of(sizes, tied));
  return model;
}

}  // namespace caltrop
