// The vocabulary of a GGUF file as the two tokenizer files of a model folder.
//
// A GGUF holds tokens, merges and token types, but instead of the pre-tokenizer a name for it ("smollm"). The
// files made here are complete: the `tokenizers` package loads them and gives the same ids as the tokenizer
// they came from. Tested by tests/text/gguf_vocabulary_test.cc and tools/compare_tokenizers.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "caltrop/base/json.h"

namespace caltrop {

/// The keys "tokenizer.ggml.…" of a GGUF file.
struct GgufVocabulary {
  std::string model;                // tokenizer.ggml.model: "gpt2" is byte-level BPE
  std::string pre;                  // tokenizer.ggml.pre: "smollm", "gpt-2", "llama-bpe", "qwen2"
  std::vector<std::string> tokens;  // tokenizer.ggml.tokens, by id
  std::vector<std::string> merges;  // tokenizer.ggml.merges, "left right", by rank
  std::vector<int32_t>
      token_types;  // tokenizer.ggml.token_type, by id: 1 normal, 3 control, 4 user-defined, 5 unused
  std::optional<int64_t> bos, eos, unknown, padding;  // tokenizer.ggml.{bos,eos,unknown,padding}_token_id
  bool add_bos = false;                               // tokenizer.ggml.add_bos_token
};

/// tokenizer.json. Control tokens become special added tokens, user-defined ones plain added tokens. `source`
/// names the GGUF file in errors. Throws UserError for a model or pre-tokenizer that we do not know (listing
/// those we do), and for tables that contradict each other.
Json tokenizer_json(const GgufVocabulary& vocabulary, const std::string& source);

/// tokenizer_config.json, with the chat template unless it is empty. Throws UserError for a token id out of
/// range.
Json tokenizer_config_json(const GgufVocabulary& vocabulary, const std::string& chat_template,
                           const std::string& source);

}  // namespace caltrop
