#include "caltrop/io/gguf_names.h"

#include "caltrop/io/safetensors.h"
#include "tests/io/io_support.h"

namespace caltrop {
namespace {

TEST(GgufNames, TensorsAreThoseBeforeTheConversion) {
  const auto file = GgufFile::open(test::data_file("io/llama.gguf"));
  const auto expected = SafetensorsFile::open(test::data_file("io/llama.safetensors"));
  const ImportedModel model = import_gguf(*file);
  EXPECT_EQ(model.tensors.size(), expected->entries().size());
  for (const auto& [name, tensor] : model.tensors) {
    ASSERT_TRUE(expected->has(name)) << name;
    EXPECT_TRUE(test::same_bits(tensor, expected->tensor(name))) << name;
  }
  EXPECT_EQ(model.tensors.front().first, "model.embed_tokens.weight");
  EXPECT_EQ(model.tensors.back().first, "model.norm.weight");
}

TEST(GgufNames, ConfigSaysWhatTheMetadataSay) {
  const ImportedModel model = import_gguf(*GgufFile::open(test::data_file("io/llama.gguf")));
  EXPECT_EQ(
      to_line(model.config),
      R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":8,"intermediate_size":12,)"
      R"("num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"vocab_size":5,)"
      R"("max_position_embeddings":64,"rms_norm_eps":1e-05,"rope_theta":50000.0,"rope_scaling":null,)"
      R"("hidden_act":"silu","attention_bias":false,"attention_dropout":0.0,"mlp_bias":false,)"
      R"("tie_word_embeddings":true,"torch_dtype":"float32","use_cache":true,"bos_token_id":0,)"
      R"("eos_token_id":1,"pad_token_id":null})");
  EXPECT_EQ(to_line(model.generation_config), R"({"bos_token_id":0,"eos_token_id":1,"pad_token_id":null})");
}

TEST(GgufNames, VocabularyAsItStands) {
  const GgufVocabularyData vocabulary =
      import_gguf(*GgufFile::open(test::data_file("io/llama.gguf"))).vocabulary;
  EXPECT_EQ(vocabulary.model, "gpt2");
  EXPECT_EQ(vocabulary.pre, "smollm");
  EXPECT_EQ(vocabulary.tokens, (std::vector<std::string>{"<s>", "</s>", "a", "b", "ab"}));
  EXPECT_EQ(vocabulary.token_types, (std::vector<int64_t>{3, 3, 1, 1, 1}));
  EXPECT_EQ(vocabulary.merges, std::vector<std::string>{"a b"});
  EXPECT_TRUE(vocabulary.scores.empty());
  EXPECT_EQ(vocabulary.bos_id, 0);
  EXPECT_EQ(vocabulary.eos_id, 1);
  EXPECT_EQ(vocabulary.unknown_id, std::nullopt);
  EXPECT_EQ(vocabulary.padding_id, std::nullopt);
  EXPECT_EQ(vocabulary.add_bos, false);
  EXPECT_EQ(vocabulary.chat_template, "{{ messages }}");
}

/// A llama of one layer with 4 numbers, 2 heads, 3 tokens: all zeros, made by hand so that tests can break
/// it.
class GgufImport : public ::testing::Test {
 protected:
  GgufImport() {
    add({4, 3}, "token_embd");
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"})
      add({4, 4}, std::string("blk.0.") + name);
    add({4, 6}, "blk.0.ffn_gate");
    add({4, 6}, "blk.0.ffn_up");
    add({6, 4}, "blk.0.ffn_down");
    for (const char* name : {"blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"}) add({4}, name);
  }

  void add(const std::vector<int64_t>& dimensions, const std::string& name) {
    file_.tensor(name + ".weight", dimensions, 0, file_.data.size());
    file_.data.resize(file_.data.size() + 128, '\0');
  }
  void set(const std::string& key, uint32_t value) { numbers_["llama." + key] = value; }

  ImportedModel import() {
    test::GgufBuilder file = file_;
    if (!architecture_.empty()) file.text_key("general.architecture", architecture_);
    for (const auto& [key, value] : numbers_) file.key(key, 4, value);
    file.key("llama.attention.layer_norm_rms_epsilon", 6, epsilon_);
    file.text_key("tokenizer.ggml.model", "gpt2");
    std::string tokens = test::bytes_of(uint32_t{8}) + test::bytes_of(uint64_t{tokens_.size()});
    for (const std::string& token : tokens_) tokens += test::gguf_text(token);
    file.raw_key("tokenizer.ggml.tokens", 9, tokens);
    path_ = folder_.write("x.gguf", file.bytes());
    return import_gguf(*GgufFile::open(path_));
  }
  void expect_refusal(const std::string& message) {
    try {
      import();
      ADD_FAILURE() << "imported; expected: " << message;
    } catch (const UserError& error) {
      EXPECT_EQ(std::string(error.what()), path_.string() + message);
    }
  }

  test::ScratchFolder folder_;
  std::filesystem::path path_;
  test::GgufBuilder file_;
  std::string architecture_ = "llama";
  float epsilon_ = 1e-6f;
  std::vector<std::string> tokens_ = {"a", "b", "c"};
  std::map<std::string, uint32_t> numbers_ = {{"llama.block_count", 1},
                                              {"llama.context_length", 16},
                                              {"llama.embedding_length", 4},
                                              {"llama.feed_forward_length", 6},
                                              {"llama.attention.head_count", 2}};
  const std::string lacks_ =
      ", which LlamaForCausalLM as Caltrop imports it does not have; if there is a Hugging Face folder of "
      "this model, "
      "import that";
};

TEST_F(GgufImport, DefaultsOfTheFormat) {
  const ImportedModel model = import();
  EXPECT_EQ(model.config["num_key_value_heads"], 2);
  EXPECT_EQ(model.config["head_dim"], 2);
  EXPECT_EQ(model.config["rope_theta"], 10000.0);
  EXPECT_EQ(model.config["vocab_size"], 3);
  EXPECT_EQ(model.config["tie_word_embeddings"], true);
}

TEST_F(GgufImport, AnOutputOfItsOwnUntiesIt) {
  add({4, 3}, "output");
  const ImportedModel model = import();
  EXPECT_EQ(model.config["tie_word_embeddings"], false);
  EXPECT_EQ(model.tensors.back().first, "lm_head.weight");
}

TEST_F(GgufImport, OtherArchitectures) {
  architecture_ = "mamba";
  expect_refusal(": the architecture is 'mamba', want one of: llama");
  architecture_ = "";
  expect_refusal(": metadata: 'general.architecture' is missing");
}

TEST_F(GgufImport, FeaturesThatALlamaLacks) {
  set("expert_count", 8);
  expect_refusal(": the model has 8 experts" + lacks_);
  set("expert_count", 0);
  set("rope.dimension_count", 1);
  set("attention.key_length", 2);
  expect_refusal(": only 1 of the 2 numbers of a head are rotated" + lacks_);
  set("rope.dimension_count", 2);
  set("attention.value_length", 4);
  expect_refusal(": keys have 2 numbers a head and values 4" + lacks_);
  set("attention.value_length", 2);
  add({4}, "blk.0.attn_q_norm");
  expect_refusal(": there is a tensor 'blk.0.attn_q_norm.weight'" + lacks_);
  add({1}, "rope_freqs");
  expect_refusal(": the rotary positions are scaled (tensor 'rope_freqs.weight', as in Llama 3.1)" + lacks_);
  numbers_["llama.rope.scale_linear"] = 4;
  expect_refusal(": the rotary positions are scaled ('llama.rope.scale_linear' is 4)" + lacks_);
  numbers_.erase("llama.rope.scale_linear");
  file_.text_key("llama.rope.scaling.type", "yarn");
  expect_refusal(": the rotary positions are scaled ('yarn')" + lacks_);
}

TEST_F(GgufImport, OneFileOfSeveral) {
  numbers_["split.count"] = 3;
  expect_refusal(": is part of a model in 3 files; join them first: `llama-gguf-split --merge`");
}

TEST_F(GgufImport, MissingAndIllShapedTensors) {
  set("block_count", 2);
  expect_refusal(": tensor 'blk.1.attn_q.weight' is missing");
  set("block_count", 1 << 20);
  expect_refusal(": metadata: 'llama.block_count' is 1048576, but the file has only 11 tensors");
  set("block_count", 1);
  set("feed_forward_length", 7);
  expect_refusal(": tensor 'blk.0.ffn_gate.weight': shape is [6, 4], want [7, 4] by the metadata");
}

TEST_F(GgufImport, IllTypedMetadata) {
  set("feed_forward_length", 0);
  expect_refusal(": metadata: 'llama.feed_forward_length' is 0, want 1 to 2^30");
  numbers_.erase("llama.feed_forward_length");
  expect_refusal(": metadata: 'llama.feed_forward_length' is missing");
  file_.text_key("llama.feed_forward_length", "6");
  expect_refusal(": metadata: 'llama.feed_forward_length' is a string, want an integer");
}

TEST_F(GgufImport, NumbersThatMakeNoSense) {
  epsilon_ = 0;
  expect_refusal(": metadata: 'llama.attention.layer_norm_rms_epsilon' is 0, want a positive number");
  epsilon_ = std::numeric_limits<float>::quiet_NaN();
  expect_refusal(": metadata: 'llama.attention.layer_norm_rms_epsilon' is nan, want a positive number");
  set("attention.head_count", 3);
  expect_refusal(
      ": metadata: 3 heads of 1 numbers on 3 key-value heads, want an even width and a whole ratio");
}

TEST_F(GgufImport, Vocabulary) {
  tokens_.push_back("d");
  expect_refusal(
      ": metadata: 'tokenizer.ggml.tokens' has 4 items, want 1 to 3, the rows of 'token_embd.weight'");
  tokens_.pop_back();
  numbers_["tokenizer.ggml.eos_token_id"] = 3;
  expect_refusal(": metadata: 'tokenizer.ggml.eos_token_id' is 3, want 0 to 2");
  numbers_.clear();
}

TEST_F(GgufImport, VocabularyLists) {
  file_.raw_key("tokenizer.ggml.token_type", 9,
                test::bytes_of(uint32_t{0}) + test::bytes_of(uint64_t{1}) + std::string(1, '\1'));
  expect_refusal(": metadata: 'tokenizer.ggml.token_type' has 1 items, want 3, one a token");
  file_.text_key("tokenizer.ggml.merges", "a b");
  expect_refusal(": metadata: 'tokenizer.ggml.merges' is not a list of strings");
}

}  // namespace
}  // namespace caltrop
