#include "caltrop/text/gguf_vocabulary.h"

#include "caltrop/text/byte_alphabet.h"
#include "caltrop/text/tokenizer.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using Ids = std::vector<int64_t>;

// A small vocabulary as a GGUF file has it: <end> 0, <user> 1, padding 2, then the bytes, "th" 259, "the" 260.
GgufVocabulary vocabulary(const std::string& pre) {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = pre;
  v.tokens = {"<end>", "<user>", "[PAD2]"};
  v.merges = {"t h", "th e"};
  v.token_types = {3, 4, 5};
  for (int byte = 0; byte < 256; ++byte)
    v.tokens.push_back(spell_bytes(std::string(1, static_cast<char>(byte))));
  v.tokens.insert(v.tokens.end(), {"th", "the"});
  v.token_types.resize(v.tokens.size(), 1);
  v.bos = v.eos = v.padding = 0;
  return v;
}

Ids encode(const GgufVocabulary& v, std::string_view text) {
  return Tokenizer::from_json(tokenizer_json(v, "x.gguf"), "tokenizer.json of x.gguf").encode(text, true).ids;
}

TEST(GgufVocabulary, TokensKeepTheirIdsAndKinds) {
  const Tokenizer t = Tokenizer::from_json(tokenizer_json(vocabulary("smollm"), "x.gguf"), "x");
  EXPECT_EQ(t.encode("the<end><user>", true).ids, (Ids{260, 0, 1}));
  EXPECT_TRUE(t.is_special(0));
  EXPECT_FALSE(t.is_special(1));
  EXPECT_EQ(t.token_to_id("[PAD2]"), std::nullopt);
  EXPECT_EQ(t.vocabulary_size(), 261);
}

TEST(GgufVocabulary, EachNameHasItsPreTokenizer) {
  const auto components = [](const std::string& pre) {
    const Json json = tokenizer_json(vocabulary(pre), "x.gguf");
    return to_line({json["normalizer"], json["pre_tokenizer"], json["model"]["ignore_merges"]});
  };
  const std::string byte_level =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":)";
  EXPECT_EQ(components("gpt-2"), "[null," + byte_level + "true},false]");
  EXPECT_EQ(components("smollm"),
            R"([null,{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)" +
                byte_level + "true}]},false]");
  // As in the tokenizer.json of Llama 3.1 and of Qwen 3.
  const auto split = [&](const std::string& numbers) {
    return R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|)"
           R"([^\\r\\n\\p{L}\\p{N}]?\\p{L}+|)" +
           numbers +
           R"(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},)" +
           byte_level + "false}]}";
  };
  EXPECT_EQ(components("llama-bpe"), "[null," + split(R"(\\p{N}{1,3})") + ",true]");
  EXPECT_EQ(components("qwen2"), R"([{"type":"NFC"},)" + split(R"(\\p{N})") + ",false]");
}

TEST(GgufVocabulary, StartTokenIfTheFileSaysSo) {
  GgufVocabulary v = vocabulary("llama-bpe");
  EXPECT_EQ(encode(v, "the"), Ids{260});
  v.add_bos = true;
  EXPECT_EQ(encode(v, "the"), (Ids{0, 260}));
  v.bos.reset();
  EXPECT_USER_ERROR(tokenizer_json(v, "x.gguf"),
                    "x.gguf: tokenizer.ggml.add_bos_token is true, but there is no bos_token_id");
}

TEST(GgufVocabulary, ConfigNamesTheSpecialTokens) {
  EXPECT_EQ(
      to_line(tokenizer_config_json(vocabulary("smollm"), "{{ x }}", "x.gguf")),
      R"({"add_bos_token":false,"add_prefix_space":false,"bos_token":"<end>","eos_token":"<end>",)"
      R"("pad_token":"<end>","clean_up_tokenization_spaces":false,"tokenizer_class":"PreTrainedTokenizerFast",)"
      R"("chat_template":"{{ x }}"})");
  GgufVocabulary v = vocabulary("smollm");
  v.eos = 261;
  EXPECT_USER_ERROR(tokenizer_config_json(v, "", "x.gguf"),
                    "x.gguf: tokenizer.ggml.eos_token_id is 261, but there are 261 tokens");
}

TEST(GgufVocabulary, WhatIsUnknownIsNamed) {
  GgufVocabulary v = vocabulary("falcon");
  EXPECT_USER_ERROR(tokenizer_json(v, "x.gguf"),
                    "x.gguf: tokenizer.ggml.pre is 'falcon'; Caltrop knows: gpt-2, smollm, llama-bpe, qwen2");
  v.model = "llama";
  EXPECT_USER_ERROR(tokenizer_json(v, "x.gguf"),
                    "x.gguf: tokenizer.ggml.model is 'llama'; Caltrop knows: gpt2 (byte-level BPE)");
  v = vocabulary("smollm");
  v.token_types[4] = 6;
  EXPECT_USER_ERROR(
      tokenizer_json(v, "x.gguf"),
      "x.gguf: token 4 'ā' has the type 6; a byte-level vocabulary has: 1 (normal), 3 (control), 4 "
      "(user-defined), 5 (unused)");
  v.token_types.pop_back();
  EXPECT_USER_ERROR(tokenizer_json(v, "x.gguf"),
                    "x.gguf: tokenizer.ggml.token_type has 260 entries for 261 tokens");
  v = vocabulary("smollm");
  v.tokens[260] = "th";
  EXPECT_USER_ERROR(encode(v, "a"),
                    "tokenizer.json of x.gguf: model: the token 'th' has two ids, 259 and 260");
}

}  // namespace
}  // namespace caltrop
