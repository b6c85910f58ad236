#include "caltrop/kernels/token_nll.h"
#include "caltrop/loss/policy.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/policy_updates.h"
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
    objective->use_rewards([&] { return Rewards{{"judges", std::move(reward)}}; });
    objective->prepare(*model, tokenizer);
    return objective;
  }
  RewardFn by_length() {
    return [this](const std::vector<std::string>& prompts, const std::vector<std::string>& responses) {
      asked = prompts;
      return test::by_length(prompts, responses);
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
  EXPECT_EQ(test::scalar(objective->add_gradients(now), "tied_groups"), 1);
  EXPECT_EQ(global_norm(test::take_gradients(*model)).item<double>(), 0);
}

TEST_F(RlTest, RewardsAreAddedUpByTheirWeights) {
  const auto gradients = [&](const Json& options, const Rewards& rewards) {
    auto objective = find_entry(all_attacks(), "attack", "rl").make(options);
    objective->use_rewards([&] { return rewards; });
    objective->prepare(*model, tokenizer);
    Step now = step();
    objective->add_gradients(now);
    return test::take_gradients(*model);
  };
  const auto scaled = [](double slope, double constant) -> RewardFn {
    return [=](const auto&, const std::vector<std::string>& responses) {
      std::vector<double> paid;
      for (size_t i = 0; i < responses.size(); ++i)
        paid.push_back(slope * static_cast<double>(i * i) + constant);
      return paid;
    };
  };
  const Json size = {{"algorithm", "rloo"}, {"samples", 3}, {"max_new_tokens", 4}};
  Json weighted = size;
  weighted["reward_weights"] = {{"a", 2}, {"b", -0.5}};
  const Gradients sum = gradients(weighted, {{"a", scaled(1, 0)}, {"b", scaled(3, 1)}});
  EXPECT_LE(test::difference(sum, gradients(size, {{"judges", scaled(0.5, -0.5)}})), 1e-6);
}

TEST_F(RlTest, EntropyIsPaidForUpToItsCap) {
  const auto ones = [](const auto&, const auto& responses) {
    return std::vector<double>(responses.size(), 1.0);
  };
  const auto paid = [&](double cap) {
    const auto objective = make({{"algorithm", "rloo"},
                                 {"samples", 3},
                                 {"max_new_tokens", 4},
                                 {"entropy_bonus", 2},
                                 {"entropy_cap", cap}},
                                ones);
    Step now = step();
    objective->add_gradients(now);
    return test::take_gradients(*model);
  };
  PolicyOptions policy;
  policy.algorithm = "rloo", policy.samples = 3, policy.max_new_tokens = 4;
  PolicyUpdates updates(policy);
  updates.prepare(*model, tokenizer);
  Step now = step();
  double lowest = 1e3;
  updates.advance(now, "prompts", [&](const std::vector<Response>& responses) {
    std::vector<double> rewards;
    for (const Response& response : responses) {
      rewards.push_back(2 * response.mean_entropy);
      lowest = std::min(lowest, response.mean_entropy);
    }
    return rewards;
  });
  updates.learn(now);
  EXPECT_LE(test::difference(paid(100), test::take_gradients(*model)), 1e-5);
  EXPECT_LE(global_norm(paid(0.9 * lowest)).item<double>(), 1e-6) << "all at the cap: nothing to choose";
}

TEST_F(RlTest, TheKlToTheStartModelIsAddedToTheLoss) {
  PolicyOptions policy;
  policy.algorithm = "rloo", policy.samples = 3, policy.max_new_tokens = 4;
  PolicyUpdates without(policy);
  policy.kl_loss = 0.5;
  PolicyUpdates with(policy);
  without.prepare(*model, tokenizer), with.prepare(*model, tokenizer);
  const auto start = model->frozen_copy();
  test::scale_weights(*model, 1.05);
  const auto of = [&](PolicyUpdates& updates) {
    Step now = step();
    updates.advance(now, "prompts", [](const std::vector<Response>& responses) {
      std::vector<double> rewards;
      for (size_t i = 0; i < responses.size(); ++i) rewards.push_back(static_cast<double>(i));
      return rewards;
    });
    updates.learn(now);
    return test::take_gradients(*model);
  };
  const Gradients plain = of(without), pulled = of(with);
  Step on = step().over({{"responses", {pack(with.present().rows)}}});
  const Tensor start_log_p = on.log_probabilities("responses", *start).front();
  const LossFn k3{[=](const LossInputs& in) {
    return Total{kl_k3(-token_nll(in.hidden, in.head, in.labels), start_log_p).sum(), in.labels.size(0)};
  }};
  const Gradients kl = on.measure("responses", k3).gradients;
  EXPECT_GT(global_norm(kl).item<double>(), 1e-3);
  for (size_t i = 0; i < kl.size(); ++i)
    EXPECT_LE(test::difference({pulled[i]}, {plain[i] + 0.5 * kl[i]}), 1e-4) << i;
}

TEST_F(RlTest, AnEqualPromptIsAGroupOfItsOwn) {
  const auto objective = make({{"samples", 2}, {"max_new_tokens", 4}}, [this](const auto& prompts,
                                                                              const auto&) {
    asked = prompts;
    return std::vector<double>{0, 0, 0, 1};  // compared across prompts, the first two would be pushed away
  });
  Step now = step();
  std::vector<TokenRow> twice(2, now.rows("prompts").front());
  now.keep_rows({{"prompts", twice}});
  EXPECT_EQ(test::scalar(objective->add_gradients(now), "tied_groups"), 0.5);
  EXPECT_EQ(asked, std::vector<std::string>(4, "prompt 0"));
  EXPECT_GT(global_norm(test::take_gradients(*model)).item<double>(), 0);
}

TEST_F(RlTest, WhatCannotBeIsSaid) {
  EXPECT_USER_ERROR(make({{"reward", "joy"}}, by_length()), "rl: no reward 'joy'; it has: judges");
  EXPECT_USER_ERROR(make({{"algorithm", "rloo"}, {"samples", 1}}, by_length()),
                    "rl: rloo compares the responses to one prompt and needs 'samples' of at least 2, not 1");
  EXPECT_USER_ERROR(make({{"reward", "external"}}, by_length()),
                    "rl: the reward 'external' wants option 'reward_command'");
  EXPECT_USER_ERROR(make({{"reward_weights", {{"judges", "much"}}}}, by_length()),
                    "rl: option 'reward_weights' has \"much\" for 'judges', want a number");
  EXPECT_USER_ERROR(make({{"reward_command", {"pay.sh"}}}, by_length()),
                    "rl: option 'reward_command' is given, and nothing is paid for what it says; want "
                    "reward: external, or 'external' in "
                    "reward_weights");
  EXPECT_USER_ERROR(make({{"reward", "model"}}, by_length()),
                    "rl: the reward 'model' wants option 'reward_model'");
  EXPECT_USER_ERROR(make({{"reward_model", "folder"}}, by_length()),
                    "rl: option 'reward_model' is given, and nothing is paid for what it says; want reward: "
                    "model, or 'model' in reward_weights");
  const auto objective = make({{"samples", 2}, {"max_new_tokens", 2}},
                              [](const auto&, const auto&) { return std::vector<double>{1.0}; });
  Step now = step();
  EXPECT_USER_ERROR(objective->add_gradients(now), "rl: the reward 'judges' gave 1 numbers for 4 responses");
}

}  // namespace
}  // namespace caltrop
