#include "caltrop/model/config.h"

#include "caltrop/io/model_folder.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

Json changed(const std::string& key, const Json& value) {
  Json config = test::tiny_config();
  config[key] = value;
  return config;
}

TEST(Config, UnknownArchitectureListsTheKnown) {
  EXPECT_USER_ERROR(read_model_config(changed("architectures", {"GPT2LMHeadModel"}), "m/config.json"),
                    "m/config.json: no architecture 'GPT2LMHeadModel'; it has: LlamaForCausalLM");
}

TEST(Config, WhatTheFamilyLacksIsRefused) {
  EXPECT_USER_ERROR(read_model_config(changed("attention_bias", true), "c"),
                    "c: 'attention_bias' is true; this family is supported with false only");
  EXPECT_USER_ERROR(read_model_config(changed("num_key_value_heads", 3), "c"),
                    "c: 4 attention heads cannot share 3 key-value heads evenly");
  EXPECT_USER_ERROR(read_model_config(changed("hidden_size", "wide"), "c"),
                    "c: 'hidden_size' is a string, want an integer");
  EXPECT_USER_ERROR(read_model_config(changed("rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}), "c"),
                    "c: no rope_scaling type 'yarn'; it has: default, linear, llama3");
}

TEST(Config, NumbersThatCannotBeAreRefused) {
  EXPECT_USER_ERROR(read_model_config(changed("num_hidden_layers", 4'000'000'000), "c"),
                    "c: 'num_hidden_layers' is 4000000000, want at most 10000");
  EXPECT_USER_ERROR(read_model_config(changed("head_dim", int64_t{1} << 40), "c"),
                    "c: 'head_dim' is 1099511627776, want an even number up to 4096");
  EXPECT_USER_ERROR(read_model_config(changed("rms_norm_eps", -1e-5), "c"),
                    "c: 'rms_norm_eps' is -1e-05, want a number above 0");
  EXPECT_USER_ERROR(read_model_config(changed("rope_theta", 0.0), "c"),
                    "c: 'rope_theta' is 0, want a number above 0");
  EXPECT_USER_ERROR(read_model_config(changed("rope_scaling", {{"type", "linear"}, {"factor", 0.0}}), "c"),
                    "c: rope_scaling: 'factor' is 0, want a number above 0");
  EXPECT_USER_ERROR(read_model_config(changed("eos_token_id", {"</s>"}), "c"),
                    "c: 'eos_token_id' is [\"</s>\"], want a token id (0 to 2147483647) or a list of them");
  EXPECT_USER_ERROR(read_model_config(changed("eos_token_id", -1), "c"),
                    "c: 'eos_token_id' is -1, want a token id (0 to 2147483647) or a list of them");
  EXPECT_USER_ERROR(
      read_model_config(changed("eos_token_id", UINT64_MAX), "c"),
      "c: 'eos_token_id' is 18446744073709551615, want a token id (0 to 2147483647) or a list of them");
}

TEST(Config, AnswersEndWhereEitherFileSaysSo) {
  const test::ScratchFolder scratch;
  const auto folder = test::write_tiny_folder(scratch / "m");
  const auto ends = [&] { return read_model_config(ModelFolder::open(folder)).end_ids; };
  const auto before = ends();
  scratch.write("m/generation_config.json", R"({"eos_token_id": [7, 9]})");
  std::vector<int64_t> after = before;
  after.insert(after.end(), {7, 9});
  EXPECT_EQ(ends(), after);
  EXPECT_EQ(Model::load(folder, {.device = "cpu", .dtype = "fp32"})->config().end_ids, after);
  const std::string other = scratch.write("m/generation_config.json", R"({"eos_token_id": "</s>"})").string();
  EXPECT_USER_ERROR(
      ends(), other + ": 'eos_token_id' is \"</s>\", want a token id (0 to 2147483647) or a list of them");
}

TEST(Config, LlamaThreeScalingSlowsLongWavesOnly) {
  const Json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 32}};
  const auto plain = read_model_config(test::tiny_config(), "c").inverse_frequencies;
  const auto scaled = read_model_config(changed("rope_scaling", scaling), "c").inverse_frequencies;
  EXPECT_DOUBLE_EQ(scaled.front(), plain.front()) << "a wave of 6 tokens is shorter than 32/4";
  EXPECT_DOUBLE_EQ(scaled.back(), plain.back() / 8) << "a wave of 135 tokens is longer than 32/1";
}

// transformers, modeling_rope_utils.py, _compute_llama3_parameters: between the thresholds,
//   smooth = (original / wavelength - low) / (high - low)
//   (1 - smooth) * f / factor + smooth * f
TEST(Config, LlamaThreeScalingBlendsBetweenTheThresholds) {
  const Json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 64}};
  // f = 100^(-2/6) = 0.21544347, a wave of 2 pi / f = 29.164 tokens, between 64/4 and 64/1:
  // smooth = (64 / 29.164 - 1) / 3 = 0.39816.
  const double f = 0.2154434690031884;
  const double smooth = (64 / (2 * 3.14159265358979323846 / f) - 1.0) / (4.0 - 1.0);
  ASSERT_NEAR(smooth, 0.39816, 1e-5);
  const auto scaled = read_model_config(changed("rope_scaling", scaling), "c").inverse_frequencies;
  EXPECT_NEAR(scaled[1], (1 - smooth) * f / 8 + smooth * f, 1e-12);
  EXPECT_NEAR(scaled[1], 0.101989, 1e-6) << "neither f = 0.21544 nor f / 8 = 0.02693";
}

}  // namespace
}  // namespace caltrop
