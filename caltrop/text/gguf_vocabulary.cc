#include "caltrop/text/gguf_vocabulary.h"

#include <string_view>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

// What a name in tokenizer.ggml.pre stands for, from the tokenizer.json files of the models that have it.
struct PreTokenizerKind {
  std::string_view name;
  bool individual_digits;  // Digits before the expression
  bool nfc;                // a normalizer
  bool ignore_merges;
  std::string_view regex;  // in place of GPT-2's, or empty
};
constexpr PreTokenizerKind kKinds[] = {
    {"gpt-2", false, false, false, ""},
    {"smollm", true, false, false, ""},
    {"llama-bpe", false, false, true,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"qwen2", false, true, false,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
};

const PreTokenizerKind& kind_of(const GgufVocabulary& vocabulary, const std::string& source) {
  if (vocabulary.model != "gpt2") {
    throw UserError("{}: tokenizer.ggml.model is '{}'; Caltrop knows: gpt2 (byte-level BPE)", source,
                    vocabulary.model);
  }
  std::vector<std::string> known;
  for (const PreTokenizerKind& kind : kKinds) {
    if (kind.name == vocabulary.pre) return kind;
    known.emplace_back(kind.name);
  }
  throw UserError("{}: tokenizer.ggml.pre is '{}'; Caltrop knows: {}", source, vocabulary.pre, join(known));
}

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pre_tokenizer(const PreTokenizerKind& kind) {
  Json steps = Json::array();
  if (kind.individual_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (!kind.regex.empty()) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", kind.regex}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(byte_level(/*use_regex=*/kind.regex.empty()));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

const std::string& token_at(const GgufVocabulary& vocabulary, int64_t id, std::string_view key,
                            const std::string& source) {
  if (id < 0 || id >= static_cast<int64_t>(vocabulary.tokens.size())) {
    throw UserError("{}: tokenizer.ggml.{} is {}, but there are {} tokens", source, key, id,
                    vocabulary.tokens.size());
  }
  return vocabulary.tokens[static_cast<size_t>(id)];
}

Json post_processor(const GgufVocabulary& vocabulary, const std::string& source) {
  if (!vocabulary.add_bos) return byte_level(/*use_regex=*/true);
  if (!vocabulary.bos) {
    throw UserError("{}: tokenizer.ggml.add_bos_token is true, but there is no bos_token_id", source);
  }
  const std::string& bos = token_at(vocabulary, *vocabulary.bos, "bos_token_id", source);
  const auto special = [&](int type_id) {
    return Json{{"SpecialToken", {{"id", bos}, {"type_id", type_id}}}};
  };
  const auto text = [](const char* name, int type_id) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type_id}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({special(0), text("A", 0)})},
          {"pair", Json::array({special(0), text("A", 0), special(1), text("B", 1)})},
          {"special_tokens",
           {{bos, {{"id", bos}, {"ids", Json::array({*vocabulary.bos})}, {"tokens", Json::array({bos})}}}}}};
}

}  // namespace

Json tokenizer_json(const GgufVocabulary& vocabulary, const std::string& source) {
  const PreTokenizerKind& kind = kind_of(vocabulary, source);
  if (vocabulary.token_types.size() != vocabulary.tokens.size()) {
    throw UserError("{}: tokenizer.ggml.token_type has {} entries for {} tokens", source,
                    vocabulary.token_types.size(), vocabulary.tokens.size());
  }

  Json added = Json::array();
  Json vocab = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const int32_t type = vocabulary.token_types[id];
    if (type == kUnused) continue;  // padding of the model's embedding; nobody's token
    if (type != kNormal && type != kControl && type != kUserDefined) {
      throw UserError(
          "{}: token {} '{}' has the type {}; a byte-level vocabulary has: 1 (normal), 3 (control), 4 "
          "(user-defined), 5 (unused)",
          source, id, token, type);
    }
    // Not by key, which would search the whole object each time. Tokens that stand twice are found when it is
    // read.
    vocab.get_ref<Json::object_t&>().emplace_back(token, id);
    if (type == kNormal) continue;
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", type == kControl}});
  }

  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", kind.nfc ? Json{{"type", "NFC"}} : Json()},
          {"pre_tokenizer", pre_tokenizer(kind)},
          {"post_processor", post_processor(vocabulary, source)},
          {"decoder", byte_level(/*use_regex=*/true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", kind.ignore_merges},
            {"vocab", std::move(vocab)},
            {"merges", vocabulary.merges}}}};
}

Json tokenizer_config_json(const GgufVocabulary& vocabulary, const std::string& chat_template,
                           const std::string& source) {
  Json config = {{"add_bos_token", vocabulary.add_bos}, {"add_prefix_space", false}};
  const auto add_token = [&](const char* key, const std::optional<int64_t>& id, const char* gguf_key) {
    if (id) config[key] = token_at(vocabulary, *id, gguf_key, source);
  };
  add_token("bos_token", vocabulary.bos, "bos_token_id");
  add_token("eos_token", vocabulary.eos, "eos_token_id");
  add_token("unk_token", vocabulary.unknown, "unknown_token_id");
  add_token("pad_token", vocabulary.padding, "padding_token_id");
  config["clean_up_tokenization_spaces"] = false;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config;
}

}  // namespace caltrop
