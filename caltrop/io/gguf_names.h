// From a GGUF file of the llama family to a Hugging Face model: tensor names, config.json, vocabulary.
// Tested by tests/io/gguf_names_test.cc; against transformers' own import by tools/compare_gguf_import.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/io/gguf.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// tokenizer.ggml.* and tokenizer.chat_template as the file has them. Not interpreted: that is the business
/// of text/, which io/ may not see.
struct GgufVocabularyData {
  std::string model;                // "gpt2": byte-level BPE; "llama": SentencePiece
  std::string pre;                  // name of the pre-tokenizer, "" if absent
  std::vector<std::string> tokens;  // by id
  std::vector<int64_t>
      token_types;                  // by id, 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<double> scores;       // by id, SentencePiece only
  std::vector<std::string> merges;  // "left right", first comes first
  std::optional<int64_t> bos_id, eos_id, unknown_id, padding_id;
  std::optional<bool> add_bos, add_space_prefix;
  std::optional<std::string> chat_template;
};

struct ImportedModel {
  Json config;             // of LlamaForCausalLM, as in config.json
  Json generation_config;  // the special ids
  NamedTensors tensors;    // fp32, Hugging Face names and layout, in the model's order
  GgufVocabularyData vocabulary;
};

/// Converts a whole file. llama.cpp's converter reorders the rows of attn_q and attn_k, because it rotates
/// neighbouring pairs where Hugging Face rotates the halves of a head; this is undone. Throws UserError for
/// an architecture other than llama, for features that LlamaForCausalLM lacks (experts, biases, rotary
/// scaling), for files of a split model, for missing, unknown or ill-shaped tensors, and for ill-typed
/// metadata.
ImportedModel import_gguf(const GgufFile& file);

}  // namespace caltrop
