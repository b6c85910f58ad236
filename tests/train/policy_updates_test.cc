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
  Step step(int64_t number = 0) const { return step_of(*model, number); }
  static Step step_of(const Model& model, int64_t number, int64_t micro_batch = 4) {
    Step step = test::make_step(model, {"prompts"}, 4, micro_batch, number);
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
  Step on = now.over({{"responses", {pack(rows_of(responses))}}});
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

TEST_F(PolicyUpdatesTest, OnPolicyNothingIsClippedWhateverDecodingRounds) {
  const Model policy(model->config(), test::copy_of(model->parameters()), at::kBFloat16);
  PolicyOptions with = options("grpo");
  with.clip_ratio = 1e-7;  // a rounding would be clipped
  PolicyUpdates updates(with);
  updates.prepare(policy, tokenizer);
  Step now = step_of(policy, 0);
  const Scalars scalars = go(updates, now);
  EXPECT_EQ(test::scalar(scalars, "clip_fraction"), 0);
  EXPECT_GT(test::scalar(scalars, "sampler_kl"), 0) << "decoding rounds differently in bf16";
  EXPECT_LT(test::scalar(scalars, "sampler_kl"), 0.01);
}

TEST_F(PolicyUpdatesTest, WithSeveralUpdatesOldIsThePolicyBeforeTheFirst) {
  PolicyOptions with = options("grpo");
  with.updates = 2;
  PolicyUpdates updates(with);
  updates.prepare(*model, tokenizer);
  Step first = step(0), second = step(1);
  const auto start = model->frozen_copy();
  EXPECT_EQ(test::scalar(go(updates, first), "clip_fraction"), 0);
  test::take_gradients(*model);
  test::scale_weights(*model, 1.05);
  updates.advance(second, "prompts", pay);
  Step on = updates.over_present(second);
  EXPECT_TRUE(at::allclose(updates.present().old,
                           at::cat(on.log_probabilities(PolicyUpdates::kResponses, *start)), 0, 1e-5));
  EXPECT_GT(test::scalar(updates.learn(second), "clip_fraction"), 0);
}

TEST_F(PolicyUpdatesTest, MicroBatchesChangeNothing) {
  for (const char* algorithm : {"grpo", "ppo"}) {
    PolicyOptions with = options(algorithm);
    with.kl_loss = 0.1, with.kl_in_reward = 0.1;
    const auto of = [&](int64_t micro_batch) {
      PolicyUpdates updates(with);
      updates.prepare(*model, tokenizer);
      Step now = step_of(*model, 0, micro_batch);
      const Scalars scalars = go(updates, now);
      return std::pair(test::take_gradients(*model), test::scalar(scalars, "policy_loss"));
    };
    const auto whole = of(4), parts = of(1), uneven = of(3);
    EXPECT_LE(test::difference(whole.first, parts.first), 1e-5) << algorithm;
    EXPECT_LE(test::difference(whole.first, uneven.first), 1e-5) << algorithm;
    EXPECT_NEAR(whole.second, parts.second, 1e-5);
  }
}

TEST_F(PolicyUpdatesTest, TheKlToTheStartIsTakenOffEachTokensReward) {
  const auto start = model->frozen_copy();
  for (const char* estimate : {"k1", "k3"}) {
    PolicyOptions with = options("reinforce_plus_plus");
    with.kl_in_reward = 0.5, with.kl_estimate = estimate;
    PolicyUpdates updates(with);
    const auto policy = test::tiny_model();
    updates.prepare(*policy, tokenizer);
    Step first = step_of(*policy, 0), second = step_of(*policy, 1);
    EXPECT_EQ(test::scalar(updates.advance(first, "prompts", pay), "start_kl"), 0) << "it is the start";
    test::scale_weights(*policy, 1.1);
    std::vector<Response> said;
    std::vector<double> paid;
    const Scalars scalars = updates.advance(second, "prompts", [&](const std::vector<Response>& responses) {
      said = responses, paid = pay(responses);
      return paid;
    });
    const PolicyUpdates::Share& share = updates.present();
    Step on = updates.over_present(second);
    const Tensor log_p = at::cat(on.log_probabilities(PolicyUpdates::kResponses, *policy)),
                 from = at::cat(on.log_probabilities(PolicyUpdates::kResponses, *start));
    const Tensor r = from - log_p;
    const Tensor kl = estimate == std::string("k1") ? -r : r.exp() - 1 - r;
    EXPECT_NEAR(test::scalar(scalars, "start_kl"), kl.mean().item<double>(), 1e-5);
    PerToken rewards;
    int64_t label = 0;
    for (size_t i = 0; i < said.size(); ++i) {
      rewards.emplace_back();
      for (size_t t = 0; t < said[i].log_p.size(); ++t)
        rewards.back().push_back(-0.5 * kl[label++].item<double>());
      rewards.back().back() += paid[i];
    }
    EXPECT_TRUE(at::allclose(
        share.advantages, per_label(reinforce_plus_plus_advantages(rewards, with.gamma), at::kCPU), 0, 1e-4));
  }
}

TEST_F(PolicyUpdatesTest, PayThatIsNoNumberEndsTheRun) {
  PolicyUpdates updates(options("grpo"));
  updates.prepare(*model, tokenizer);
  Step now = step(7);
  std::string text;
  const auto nan = [&](const std::vector<Response>& responses) {
    text = responses[1].text;
    std::vector<double> paid(responses.size(), 1.0);
    paid[1] = std::nan("");
    return paid;
  };
  std::string message;
  try {
    updates.advance(now, "prompts", nan);
  } catch (const UserError& error) {
    message = error.what();
  }
  EXPECT_EQ(
      message,
      fmt::format("at step 7 the response '{}' is paid nan: the model's own numbers are not finite", text));
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
  const double of_critic = test::scalar(go(whole, second), "value_loss");
  const Gradients a = test::take_gradients(*model);
  EXPECT_EQ(test::scalar(go(resumed, second), "value_loss"), of_critic);
  EXPECT_EQ(test::difference(a, test::take_gradients(*model)), 0);
  go(whole, third), go(resumed, third);  // a rollout whose advantages are the critic's
  EXPECT_TRUE(at::equal(whole.present().advantages, resumed.present().advantages));
  test::take_gradients(*model);
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
