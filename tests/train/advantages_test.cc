#include "caltrop/train/advantages.h"

#include <cmath>

#include "caltrop/base/json.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

TEST(Advantages, GrpoOfOneSuccessInFour) {
  // Deviation with n - 1 of (0, 0, 0, 1) is 0.5.
  EXPECT_THAT(grpo_advantages({0, 0, 0, 1}, {7, 7, 7, 7}),
              ElementsAre(DoubleNear(-0.5, 1e-5), DoubleNear(-0.5, 1e-5), DoubleNear(-0.5, 1e-5),
                          DoubleNear(1.5, 1e-5)));
  EXPECT_THAT(grpo_advantages({0, 0, 0, 1}, {7, 7, 7, 7}, false), ElementsAre(-0.25, -0.25, -0.25, 0.75));
  EXPECT_THAT(grpo_advantages({2, 2, 2}, {0, 0, 0}), ElementsAre(0, 0, 0));
  EXPECT_THAT(grpo_advantages({3, 1}, {0, 1}), ElementsAre(3, 1)) << "groups of one";
}

TEST(Advantages, OfTiedGroupsAreNothingWhateverTheirMeanRoundsTo) {
  for (const size_t n : {3u, 6u, 7u, 8u}) {
    for (const double reward : {0.1, 0.7, -1.3}) {
      const std::vector<double> rewards(n, reward);
      const std::vector<int64_t> groups(n, 0);
      EXPECT_EQ(grpo_advantages(rewards, groups), std::vector<double>(n, 0.0)) << n << " of " << reward;
      EXPECT_EQ(grpo_advantages(rewards, groups, false), std::vector<double>(n, 0.0));
      EXPECT_EQ(rloo_advantages(rewards, groups), std::vector<double>(n, 0.0));
    }
  }
}

TEST(Advantages, GrpoBlowsUpATinySpread) {
  // Zero entropy does not stop GRPO, only exact ties do: a spread of 1e-4 becomes advantages of about 1.
  const std::vector<double> advantages = grpo_advantages({0, 1e-4}, {0, 0});
  EXPECT_NEAR(advantages[1], 1 / std::sqrt(2.0), 0.02);
  EXPECT_EQ(tied_groups({0, 1e-4, 5, 5, 9}, {0, 0, 1, 1, 2}), 0.5) << "a group of one is neither";
}

TEST(Advantages, GroupsMayBeInterleaved) {
  EXPECT_THAT(rloo_advantages({0, 10, 1, 30}, {0, 1, 0, 1}), ElementsAre(-1, -20, 1, 20));
}

TEST(Advantages, RlooIsTheRewardLessTheMeanOfTheOthers) {
  const double third = 1.0 / 3;
  EXPECT_THAT(rloo_advantages({0, 0, 0, 1}, {0, 0, 0, 0}),
              ElementsAre(DoubleNear(-third, 1e-12), DoubleNear(-third, 1e-12), DoubleNear(-third, 1e-12),
                          DoubleNear(1, 1e-12)));
}

TEST(Advantages, ReinforcePlusPlusOfConstantReturnsIsNothing) {
  for (const auto& row : reinforce_plus_plus_advantages({{0, 0, 1}, {0, 1}})) {
    for (const double value : row) EXPECT_NEAR(value, 0, 1e-9);
  }
  // gamma 0: the rewards themselves, whitened: (0, 1) has mean 1/2 and deviation sqrt(1/2).
  const PerToken now = reinforce_plus_plus_advantages({{0, 1}}, 0);
  EXPECT_NEAR(now[0][0], -0.5 / std::sqrt(0.5 + 1e-8), 1e-9);
  EXPECT_NEAR(now[0][1], 0.5 / std::sqrt(0.5 + 1e-8), 1e-9);
}

TEST(Advantages, GaeIsTheSumOfDiscountedSurprises) {
  const PerToken rewards = {{0.5, 0, 2}, {1}}, values = {{0.1, 0.2, 0.3}, {0.4}};
  const double gamma = 0.9, lambda = 0.8;
  const double d2 = 2 - 0.3, d1 = 0 + gamma * 0.3 - 0.2, d0 = 0.5 + gamma * 0.2 - 0.1, e0 = 1 - 0.4;
  const double a2 = d2, a1 = d1 + gamma * lambda * a2, a0 = d0 + gamma * lambda * a1;
  const ValueTargets targets = gae_advantages(rewards, values, gamma, lambda);
  EXPECT_NEAR(targets.returns[0][0], a0 + 0.1, 1e-12);
  EXPECT_NEAR(targets.returns[0][1], a1 + 0.2, 1e-12);
  EXPECT_NEAR(targets.returns[0][2], a2 + 0.3, 1e-12);
  EXPECT_NEAR(targets.returns[1][0], e0 + 0.4, 1e-12);
  const PerToken white = whitened({{a0, a1, a2}, {e0}});
  for (size_t i = 0; i < white.size(); ++i) {
    for (size_t t = 0; t < white[i].size(); ++t) EXPECT_NEAR(targets.advantages[i][t], white[i][t], 1e-12);
  }
  // gamma = lambda = 1: the return of a token is all reward from there on, whatever the values say.
  EXPECT_NEAR(gae_advantages(rewards, values).returns[0][0], 2.5, 1e-12);
}

/// Numbers that tools/make_policy_baselines.py had from verl's own functions.
class OfVerl : public testing::Test {
 protected:
  const Json all = read_json(test::data_file("methods/policy.json"));
  const Json verl = all["verl"];
  const std::vector<double> rewards = all["rewards"];
  const std::vector<int64_t> groups = all["groups"];
  const PerToken token_rewards = all["token_rewards"];

  static void expect_near(const std::vector<double>& ours, const std::vector<double>& theirs) {
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], theirs[i], 1e-9) << i;
  }
  static void expect_near(const PerToken& ours, const PerToken& theirs) {
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t row = 0; row < ours.size(); ++row) expect_near(ours[row], theirs[row]);
  }
};

TEST_F(OfVerl, GroupsAreComparedAlike) {
  expect_near(grpo_advantages(rewards, groups), verl["grpo"].get<std::vector<double>>());
  expect_near(grpo_advantages(rewards, groups, false), verl["grpo_by_mean"].get<std::vector<double>>());
  expect_near(rloo_advantages(rewards, groups), verl["rloo"].get<std::vector<double>>());
}

TEST_F(OfVerl, ReturnsAndAdvantagesOfTokensAreAlike) {
  const double gamma = all["gamma"], lambda = all["lambda"];
  expect_near(reinforce_plus_plus_advantages(token_rewards, gamma),
              verl["reinforce_plus_plus"].get<PerToken>());
  const ValueTargets targets = gae_advantages(token_rewards, all["values"].get<PerToken>(), gamma, lambda);
  expect_near(targets.advantages, verl["gae"].get<PerToken>());
  expect_near(targets.returns, verl["gae_returns"].get<PerToken>());
}

}  // namespace
}  // namespace caltrop
