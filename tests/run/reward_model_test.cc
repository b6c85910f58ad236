#include "caltrop/run/reward_model.h"

#include <cmath>

#include "caltrop/base/files.h"
#include "caltrop/io/model_folder.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// The classifier of tools/make_classifier_baselines.py with the tokenizer that it was asked by.
class RewardModelTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const fs::path folder = scratch / "classifier";
  const Json chats = read_json(test::data_file("classifier/baseline.json"));

  void SetUp() override {
    fs::copy(test::data_file("classifier"), folder);
    fs::copy(test::data_file("tiny-model"), folder);
  }
  void change_config(const std::string& key, const Json& value) const {
    Json config = read_json(folder / "config.json");
    config[key] = value;
    write_file(folder / "config.json", config.dump());
  }
  std::vector<double> ask(const std::string& label) const {
    std::vector<std::string> prompts, responses;
    for (const Json& chat : chats) prompts.push_back(chat["prompt"]), responses.push_back(chat["response"]);
    return model_reward(folder, label, {.device = "cpu", .dtype = "fp32"})(prompts, responses);
  }
};

TEST_F(RewardModelTest, PaysTheProbabilityThatTransformersGivesTheLabel) {
  const std::vector<double> by_name = ask("cooking");
  ASSERT_EQ(by_name.size(), chats.size());
  for (size_t i = 0; i < chats.size(); ++i) {
    const std::vector<double> logits = chats[i]["logits"];
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit);
    EXPECT_NEAR(by_name[i], std::exp(logits[1]) / sum, 1e-5) << i;
  }
  EXPECT_EQ(ask("1"), by_name);
  EXPECT_NE(ask("harmless"), by_name);
}

TEST_F(RewardModelTest, OfOneLabelTheLogitIsPaid) {
  const ModelFolder whole = ModelFolder::open(folder);
  NamedTensors tensors;
  for (const TensorEntry& entry : whole.entries()) {
    const Tensor tensor = whole.tensor(entry.name).clone();
    tensors.emplace_back(entry.name, entry.name == "score.weight" ? tensor.narrow(0, 2, 1).clone() : tensor);
  }
  TextFiles texts;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    texts.emplace_back(name, read_file(folder / name));
  write_model_folder(scratch / "one", whole.config(), Json(), tensors, texts);
  const RewardFn reward = model_reward(scratch / "one", "", {.device = "cpu", .dtype = "fp32"});
  for (const Json& chat : chats) {
    EXPECT_NEAR(reward({chat["prompt"].get<std::string>()}, {chat["response"].get<std::string>()})[0],
                chat["logits"][2].get<double>(), 1e-4);
  }
}

TEST_F(RewardModelTest, WhatCannotBeIsSaid) {
  const std::string config = (folder / "config.json").string();
  EXPECT_USER_ERROR(ask("spicy"), config + ": no label 'spicy'; it has: harmless, cooking, nonsense");
  EXPECT_USER_ERROR(ask(""),
                    config +
                        ": it has 3 labels; want the one that is paid for in 'reward_label': harmless, "
                        "cooking, nonsense");
  const RewardFn reward = model_reward(folder, "cooking", {.device = "cpu", .dtype = "fp32"});
  std::string long_answer;
  for (int i = 0; i < 300; ++i) long_answer += "word ";
  EXPECT_THAT([&] { reward({"Why?"}, {long_answer}); },
              testing::ThrowsMessage<UserError>(testing::MatchesRegex(
                  "reward: .*: the chat about 'Why\\?' has [0-9]+ tokens, and its context is 256")));
  change_config("architectures", {"LlamaForCausalLM"});
  EXPECT_USER_ERROR(
      ask("cooking"),
      config +
          ": 'architectures' is [\"LlamaForCausalLM\"], want one that ends in ForSequenceClassification");
}

}  // namespace
}  // namespace caltrop
