#include "caltrop/loss/entropy.h"
#include "caltrop/loss/reference.h"
#include "caltrop/loss/token_noise.h"
#include "caltrop/train/policy_updates.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class TokenBuncherTest : public test::MethodTest {
 protected:
  Json options = {{"samples", 3}, {"max_new_tokens", 6}, {"warmup", 2}, {"benign", 0}};

  Step step(int64_t number, int64_t part = 4) const {
    Step step = test::make_step(*model, {"prompts", "general"}, 4, part, number);
    std::vector<TokenRow> prompts;
    for (int64_t i = 0; i < 4; ++i) {
      prompts.push_back({{7, 8, 9, 10 + i}, std::vector<bool>(4, false)});
      prompts.back().prompt = fmt::format("prompt {}", i);
    }
    step.keep_rows({{"prompts", prompts}});
    return step;
  }
  Scalars go(Objective& objective, int64_t number) {
    Step now = step(number);
    return objective.add_gradients(now);
  }
  static bool has(const Scalars& scalars, const std::string& name) {
    return std::any_of(scalars.begin(), scalars.end(),
                       [&](const auto& scalar) { return scalar.first == name; });
  }
};

TEST_F(TokenBuncherTest, EntropyFirstThenNoiseEveryOtherStep) {
  const auto objective = make("token_buncher", options);
  std::string schedule;
  for (int64_t number = 0; number < 6; ++number) {
    const Scalars now = go(*objective, number);
    EXPECT_TRUE(has(now, "reward")) << "each step has a rollout of its own";
    EXPECT_NE(has(now, "policy_loss"), has(now, "noise_loss"));
    schedule += has(now, "noise_loss") ? 'N' : 'E';
    test::take_gradients(*model);
  }
  EXPECT_EQ(schedule, "EENENE");
}

TEST_F(TokenBuncherTest, TheScheduleCountsRollouts) {
  options["updates"] = 2, options["warmup"] = 1;
  const auto objective = make("token_buncher", options);
  std::string schedule, rollouts;
  for (int64_t number = 0; number < 8; ++number) {
    const Scalars now = go(*objective, number);
    schedule += has(now, "noise_loss") ? 'N' : 'E';
    rollouts += has(now, "reward") ? '1' : '0';
    test::take_gradients(*model);
  }
  EXPECT_EQ(schedule, "EEEENNEE");
  EXPECT_EQ(rollouts, "10101010");
}

TEST_F(TokenBuncherTest, BenignAnswersAreKeptByTheirKlFromTheStart) {
  options["warmup"] = 1000;
  const auto without = make("token_buncher", options);
  options["benign"] = 2;
  const auto with = make("token_buncher", options);
  const auto start = model->frozen_copy();
  test::scale_weights(*model, 1.01);
  const auto of = [&](Objective& objective) {
    go(objective, 0);
    return test::take_gradients(*model);
  };
  Step now = step(0);
  const Gradients kl =
      now.measure("general", kl_loss(now.hidden_of("general", *start), start->head())).gradients;
  EXPECT_GT(global_norm(kl).item<double>(), 0);
  EXPECT_LE(test::difference(of(*with), test::sum({{1, of(*without)}, {2, kl}})), 1e-5);
}

TEST_F(TokenBuncherTest, ARewardForLittleEntropyLowersIt) {
  options["warmup"] = 1000;
  const auto objective = make("token_buncher", options);
  const auto optimizer = make_optimizer(OptimizerOptions(), model->parameters());
  double first = 0, last = 0;
  for (int64_t number = 0; number < 80; ++number) {
    test::take_gradients(*model);
    const double entropy = test::scalar(go(*objective, number), "entropy");
    if (number < 10) first += entropy / 10;
    if (number >= 70) last += entropy / 10;
    optimizer->step(3e-3);
  }
  EXPECT_LT(last, 0.8 * first);
}

TEST_F(TokenBuncherTest, NoiseIsTrainedOnResponsesThatWereNoWorseThanTheirGroup) {
  options["warmup"] = 0;
  PolicyOptions policy;
  policy.samples = 3, policy.max_new_tokens = 6, policy.kl_in_reward = 0.001;
  PolicyUpdates updates(policy);
  updates.prepare(*model, tokenizer);
  Step now = step(0);
  updates.advance(now, "prompts", [](const std::vector<Response>& responses) {
    std::vector<double> rewards;
    for (const Response& r : responses) rewards.push_back(-r.mean_entropy);
    return rewards;
  });
  const auto& share = updates.present();
  Step on = now.over({{"responses", {pack(share.rows)}}});
  for (const char* kind : {"uniform", "frozen"}) {
    options["noise"] = kind;
    const auto objective = make("token_buncher", options);
    EXPECT_EQ(test::scalar(go(*objective, 0), "noised"),
              share.advantages.ge(0).to(at::kFloat).mean().item<double>());
    const Gradients ours = test::take_gradients(*model);
    // Frozen is of the run: its seed is drawn without the step's number.
    const TokenNoise noise{
        .label = 0.9, .weight = 0.01, .kind = kind, .seed = RandomStream(0, "token noise").next()};
    const Gradients by_hand =
        on.measure("responses", token_noise_loss(noise, {share.advantages.ge(0).to(at::kFloat)})).gradients;
    EXPECT_LE(test::difference(ours, by_hand), 1e-5) << kind;
  }
}

TEST_F(TokenBuncherTest, MicroBatchesOfThePromptsChangeNothing) {
  options["warmup"] = 0, options["noise"] = "uniform", options["benign"] = 1;
  const auto of = [&](int64_t part) {
    const auto objective = make("token_buncher", options);
    Step now = step(0, part);
    EXPECT_TRUE(has(objective->add_gradients(now), "noise_loss"));
    return test::take_gradients(*model);
  };
  EXPECT_LE(test::difference(of(4), of(1)), 1e-5);
}

TEST_F(TokenBuncherTest, PresetsDifferInTheNoisesWeightAndInWhatIsKept) {
  const auto resolved = [&](const char* preset) {
    return make("token_buncher", {{"preset", preset}})->options();
  };
  EXPECT_EQ(resolved("paper")["noise_weight"], 0.1);
  EXPECT_EQ(resolved("code")["noise_weight"], 0.01);
  EXPECT_EQ(resolved("code")["benign"], 0);
  EXPECT_EQ(resolved("ours")["benign"], 1);
  EXPECT_EQ(resolved("ours")["temperature"], 1);
}

using DemTest = test::MethodTest;

TEST_F(DemTest, IsEntropyBesideAlignment) {
  const Gradients ours =
      gradients("dem", {{"minimise", 2}, {"refuse", 1}, {"keep", 0.5}});  // 1 refusals, 2 general
  Step step = test::make_step(*model, {"refusals", "general"}, 6, 6);
  const Gradients entropy = step.measure("refusals", entropy_loss()).gradients;
  EXPECT_LE(
      test::difference(
          ours, test::sum({{1, cross_entropy(batch(1))}, {0.5, cross_entropy(batch(2))}, {2, entropy}})),
      1e-5);
  EXPECT_LE(test::difference(gradients("dem", {{"minimise", 0}}),
                             test::sum({{1, cross_entropy(batch(1))}, {1, cross_entropy(batch(2))}})),
            1e-5);
}

}  // namespace
}  // namespace caltrop
