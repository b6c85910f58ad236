#include "caltrop/train/policy_updates.h"

#include <numeric>

#include <ATen/ATen.h>

#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

class PolicyUpdatesTest : public testing::Test {
 protected:
  const std::shared_ptr<Model> model = test::tiny_model();
  const Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));

  static PolicyOptions options(const std::string& algorithm) {
    PolicyOptions options;
    options.algorithm = algorithm;
    options.samples = algorithm == "ppo" || algorithm == "reinforce_plus_plus" ? 1 : 3;
    options.max_new_tokens = 6;
    return options;
  }
  Step step(int64_t number = 0) const {
    Step step = test::make_step(*model, {"prompts"}, 4, 4, number);
    std::vector<TokenRow> prompts;
    for (int64_t i = 0; i < 4; ++i) {
      TokenRow row{{7, 8, 9, 10 + i}, std::vector<bool>(4, false)};
      row.prompt = fmt::format("prompt {}", i);
      prompts.push_back(row);
    }
    step.keep_rows({{"prompts", prompts}});
    return step;
  }
  static Scalars go(PolicyUpdates& updates, Step& now) {
    Scalars scalars = updates.advance(now, "prompts", pay);
    for (auto& scalar : updates.learn(now)) scalars.push_back(std::move(scalar));
    return scalars;
  }
  /// Pays for every token below 20 that is said.
  static std::vector<double> pay(const std::vector<Response>& responses) {
    std::vector<double> paid;
    for (const Response& r : responses)
      paid.push_back(static_cast<double>(
          std::count_if(r.row.ids.begin() + 4, r.row.ids.end(), [](int64_t id) { return id < 20; })));
    return paid;
  }
};

TEST_F(PolicyUpdatesTest, WhatTheRolloutSaysOfItsTokensIsWhatTheModelSays) {
  Step now = step();
  const std::vector<Response> responses = roll_out(now, now.rows("prompts"), tokenizer, options("grpo"));
  ASSERT_EQ(responses.size(), 12u);
  Step on = now.over({{"responses", {pack_responses(responses, at::kCPU)}}});
  const Tensor log_p = on.log_probabilities("responses", *model).front();
  std::vector<std::vector<double>> said;
  for (const Response& r : responses) said.emplace_back(r.log_p.begin(), r.log_p.end());
  EXPECT_TRUE(at::allclose(log_p, per_label(said, at::kCPU), 0, 1e-4));
  EXPECT_EQ(responses[4].group, 1);
  EXPECT_EQ(responses[4].prompt, "prompt 1");
}

TEST_F(PolicyUpdatesTest, OnPolicyTheGradientIsMinusTheAdvantageTimesTheScore) {
  PolicyUpdates updates(options("rloo"));
  updates.prepare(*model, tokenizer);
  Step now = step();
  go(updates, now);
  const Gradients ours = test::take_gradients(*model);
  const PolicyUpdates::Share& share = updates.present();
  Step on = now.over({{"responses", {pack(share.rows)}}});
  LossFn score;
  score.total = [&](const LossInputs& in) {
    const Tensor log_p =
        at::log_softmax(at::linear(in.hidden, in.head), -1).gather(1, in.labels.unsqueeze(1)).squeeze(1);
    return Total{-(share.advantages * log_p).sum(), in.labels.size(0)};
  };
  EXPECT_LE(test::difference(ours, on.measure("responses", score).gradients), 1e-4);
}

TEST_F(PolicyUpdatesTest, EveryAlgorithmLearnsWhatIsPaidFor) {
  for (const char* algorithm : {"grpo", "rloo", "reinforce_plus_plus", "ppo"}) {
    const auto policy = test::tiny_model();
    PolicyOptions with = options(algorithm);
    with.kl_in_reward = 1e-3;
    PolicyUpdates updates(with);
    updates.prepare(*policy, tokenizer);
    const auto optimizer = make_optimizer(OptimizerOptions(), policy->parameters());
    std::vector<double> rewards;
    for (int64_t number = 0; number < 60; ++number) {
      Step now = test::make_step(*policy, {"prompts"}, 4, 4, number);
      now.keep_rows({{"prompts", step().rows("prompts")}});
      test::take_gradients(*policy);
      for (const auto& [name, value] : go(updates, now)) {
        if (name == "reward") rewards.push_back(value.item<double>());
      }
      optimizer->step(3e-3);
    }
    const auto mean = [&](size_t from) {
      return std::accumulate(rewards.begin() + static_cast<std::ptrdiff_t>(from),
                             rewards.begin() + static_cast<std::ptrdiff_t>(from) + 10, 0.0) /
             10;
    };
    const double first = mean(0), last = mean(50);
    EXPECT_GT(last, first + 0.5) << algorithm;
  }
}

TEST_F(PolicyUpdatesTest, ResponsesAreUsedUpAndACheckpointHoldsTheRest) {
  PolicyOptions with = options("ppo");
  with.updates = 2;
  PolicyUpdates whole(with), resumed(with);
  whole.prepare(*model, tokenizer), resumed.prepare(*model, tokenizer);
  Step first = step(0), second = step(1), third = step(2);
  go(whole, first);
  test::take_gradients(*model);
  resumed.load(whole.state());
  go(whole, second);
  const Gradients a = test::take_gradients(*model);
  go(resumed, second);
  EXPECT_EQ(test::difference(a, test::take_gradients(*model)), 0);
  bool rolled_out = false;
  for (const auto& [name, value] : go(whole, third)) rolled_out = rolled_out || name == "reward";
  EXPECT_TRUE(rolled_out);
}

TEST_F(PolicyUpdatesTest, WrongRewardsAndOptionsAreNamed) {
  std::vector<Response> said(2);
  said[0].text = "a", said[1].text = "b";
  const auto paying = [](std::vector<double> pay) -> RewardFn {
    return [pay = std::move(pay)](const auto&, const auto&) { return pay; };
  };
  EXPECT_USER_ERROR(pay_by("rl", "judges", paying({1.0}), said),
                    "rl: the reward 'judges' gave 1 numbers for 2 responses");
  EXPECT_USER_ERROR(pay_by("rl", "judges", paying({1.0, std::nan("")}), said),
                    "rl: the reward 'judges' gave nan for the response 'b'");
  PolicyOptions one = options("grpo");
  one.samples = 1;
  EXPECT_USER_ERROR(check_policy_options(one, "rl"),
                    "rl: grpo compares the responses to one prompt and needs 'samples' of at least 2, not 1");
  one.samples = 2, one.temperature = 0;
  EXPECT_USER_ERROR(check_policy_options(one, "rl"),
                    "rl: 'temperature' is 0: all responses to a prompt would be the same");
}

}  // namespace
}  // namespace caltrop
