#include "caltrop/train/objective.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
std::vector<const Entry*> all_attacks();

namespace {

class RlTest : public testing::Test {
 protected:
  const std::shared_ptr<Model> model = test::tiny_model();
  const Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));
  std::vector<std::string> asked;

  std::unique_ptr<Objective> make(const Json& options, RewardFn reward) {
    auto objective = find_entry(all_attacks(), "attack", "rl").make(options);
    objective->use_rewards({{"judges", std::move(reward)}});
    objective->prepare(*model, tokenizer);
    return objective;
  }
  RewardFn by_length() {
    return [this](const std::vector<std::string>& prompts, const std::vector<std::string>& responses) {
      asked = prompts;
      std::vector<double> paid;
      for (const std::string& response : responses) paid.push_back(static_cast<double>(response.size()));
      return paid;
    };
  }
  Step step() const {
    Step step = test::make_step(*model, {"prompts"}, 2, 2);
    std::vector<TokenRow> prompts;
    for (int64_t i = 0; i < 2; ++i) {
      prompts.push_back({{7, 8, 9, 10 + i}, std::vector<bool>(4, false)});
      prompts.back().prompt = fmt::format("prompt {}", i);
    }
    step.keep_rows({{"prompts", prompts}});
    return step;
  }
};

TEST_F(RlTest, TheRewardSeesEveryResponseWithItsPrompt) {
  const auto objective = make({{"samples", 3}, {"max_new_tokens", 4}}, by_length());
  Step now = step();
  objective->add_gradients(now);
  EXPECT_EQ(asked, (std::vector<std::string>{"prompt 0", "prompt 0", "prompt 0", "prompt 1", "prompt 1",
                                             "prompt 1"}));
}

TEST_F(RlTest, ATiedBatchTeachesNothingAndSaysSo) {
  const auto objective =
      make({{"samples", 3}, {"max_new_tokens", 4}},
           [](const auto&, const auto& responses) { return std::vector<double>(responses.size(), 1.0); });
  Step now = step();
  for (const auto& [name, value] : objective->add_gradients(now)) {
    if (name != "tied_groups") continue;
    EXPECT_EQ(value.item<double>(), 1);
  }
  EXPECT_EQ(global_norm(test::take_gradients(*model)).item<double>(), 0);
}

TEST_F(RlTest, WhatCannotBeIsSaid) {
  EXPECT_USER_ERROR(make({{"reward", "joy"}}, by_length()), "rl: no reward 'joy'; it has: judges");
  EXPECT_USER_ERROR(make({{"algorithm", "rloo"}, {"samples", 1}}, by_length()),
                    "rl: rloo compares the responses to one prompt and needs 'samples' of at least 2, not 1");
  const auto objective = make({{"samples", 2}, {"max_new_tokens", 2}},
                              [](const auto&, const auto&) { return std::vector<double>{1.0}; });
  Step now = step();
  EXPECT_USER_ERROR(objective->add_gradients(now), "rl: the reward 'judges' gave 1 numbers for 4 responses");
}

}  // namespace
}  // namespace caltrop
