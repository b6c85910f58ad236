#include "caltrop/rollout/sampler.h"

#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

/// How often each token is drawn in 20,000 draws.
std::map<int64_t, double> shares(const std::vector<float>& logits, const SamplingOptions& options) {
  RandomStream random(3, "draws");
  std::map<int64_t, double> counts;
  for (int i = 0; i < 20000; ++i) counts[sample(logits, {}, options, random).id] += 1.0 / 20000;
  return counts;
}

SamplingOptions at(double temperature) {
  SamplingOptions options;
  options.temperature = temperature;
  return options;
}

const std::vector<float> kLogits = {0.0f, std::log(2.0f), std::log(5.0f), -40.0f};  // 1/8, 2/8, 5/8, 0

TEST(Sampler, GreedyTakesTheLikeliest) {
  RandomStream random(1, "x");
  EXPECT_EQ(sample(kLogits, {}, at(0), random).id, 2);
}

TEST(Sampler, SharesAreTheProbabilities) {
  auto drawn = shares(kLogits, at(1));
  EXPECT_NEAR(drawn[0], 0.125, 0.01);
  EXPECT_NEAR(drawn[1], 0.25, 0.012);
  EXPECT_NEAR(drawn[2], 0.625, 0.012);
  EXPECT_EQ(drawn[3], 0);
  EXPECT_NEAR(shares(kLogits, at(0.5))[2], 25.0 / 30, 0.012) << "half the temperature squares the odds";
}

TEST(Sampler, TopPAndTopKCut) {
  SamplingOptions nucleus = at(1);
  nucleus.top_p = 0.7;  // 5/8 does not reach it, 7/8 does
  EXPECT_NEAR(shares(kLogits, nucleus)[1], 2.0 / 7, 0.012);
  EXPECT_EQ(shares(kLogits, nucleus).count(0), 0u);
  SamplingOptions one = at(1);
  one.top_k = 1;
  EXPECT_NEAR(shares(kLogits, one)[2], 1, 1e-9);
}

TEST(Sampler, ANucleusOfNothingIsTheLikeliest) {
  SamplingOptions none = at(1);
  none.top_p = 0;
  EXPECT_NEAR(shares(kLogits, none)[2], 1, 1e-9);
}

TEST(Sampler, PenaltyFallsOnWhatWasSeenOnce) {
  SamplingOptions options = at(0);
  options.repetition_penalty = 10;
  RandomStream random(1, "x");
  const std::vector<int64_t> seen = {2, 2, 2};
  EXPECT_EQ(sample(kLogits, seen, options, random).id, 1);
  // Log 5 over 1.5 is still more than log 2; over 1.5 three times it would be less.
  options.repetition_penalty = 1.5;
  EXPECT_EQ(sample(kLogits, seen, options, random).id, 2);
  // A negative logit is multiplied: -1 becomes -1.5, below -1.2.
  const std::vector<float> negative = {-1.2f, -1.0f};
  EXPECT_EQ(sample(negative, std::vector<int64_t>{}, options, random).id, 1);
  EXPECT_EQ(sample(negative, std::vector<int64_t>{1}, options, random).id, 0);
}

TEST(Sampler, ReportsTheModelsOwnDistribution) {
  RandomStream random(1, "x");
  const Sampled s = sample(kLogits, {}, at(0), random);
  EXPECT_NEAR(s.log_probability, std::log(0.625), 1e-5);
  EXPECT_NEAR(s.top1, 0.625, 1e-5);
  EXPECT_NEAR(s.entropy, -(0.125 * std::log(0.125) + 0.25 * std::log(0.25) + 0.625 * std::log(0.625)), 1e-5);
  const std::vector<float> uniform(5000, 1.5f);
  EXPECT_NEAR(sample(uniform, {}, at(0), random).entropy, std::log(5000.0), 1e-4);
}

TEST(Sampler, TheNucleusOfAFlatDistributionIsNotCutShort) {
  const std::vector<float> uniform(1000, 0.0f);
  SamplingOptions nucleus = at(1);
  nucleus.top_p = 0.5;
  const auto drawn = shares(uniform, nucleus);
  EXPECT_EQ(drawn.size(), 500u);
  EXPECT_LT(drawn.rbegin()->first, 500) << "equal tokens are taken in their order";
  nucleus.top_k = 10;
  EXPECT_EQ(shares(uniform, nucleus).size(), 5u);
  // A tail of unlikely tokens that together matter: the nucleus reaches into it.
  std::vector<float> tail(2001, std::log(5e-4f));
  tail[7] = 0;
  nucleus.top_k = 0;
  nucleus.top_p = 0.75;  // 1 of 2 is the one token; half of the tail is needed too
  EXPECT_NEAR(shares(tail, nucleus)[7], 1 / 1.5, 0.012);
}

TEST(Sampler, NaNIsShownAndNotDrawnFrom) {
  RandomStream random(1, "x");
  const std::vector<float> broken(8, std::nanf(""));
  for (const double temperature : {0.0, 1.0}) {
    const Sampled s = sample(broken, {}, at(temperature), random);
    EXPECT_EQ(s.id, 0);
    EXPECT_TRUE(std::isnan(s.entropy));
  }
}

TEST(Sampler, TogetherChoosesWhatEachRowWould) {
  at::manual_seed(1);
  const Tensor logits = at::randn({40, 500}) * 3;
  logits[7].fill_(std::numeric_limits<float>::quiet_NaN());
  for (const double temperature : {0.0, 0.7, 1.3}) {
    std::vector<RandomStream> one, all;
    for (int i = 0; i < 40; ++i) one.emplace_back(5, fmt::format("row {}", i)), all.emplace_back(one.back());
    std::vector<RandomStream*> randoms;
    for (RandomStream& random : all) randoms.push_back(&random);
    const std::vector<Sampled> together = sample_together(logits, at(temperature), randoms);
    for (size_t i = 0; i < 40; ++i) {
      const std::span<const float> row(logits.const_data_ptr<float>() + 500 * i, 500);
      const Sampled alone = sample(row, {}, at(temperature), one[i]);
      EXPECT_EQ(together[i].id, alone.id) << "row " << i << " at " << temperature;
      if (i == 7) {
        EXPECT_TRUE(std::isnan(together[i].log_probability)) << "a model that computes NaN says so";
        continue;
      }
      EXPECT_NEAR(together[i].log_probability, alone.log_probability, 1e-4);
      EXPECT_NEAR(together[i].entropy, alone.entropy, 1e-4);
      EXPECT_NEAR(together[i].top1, alone.top1, 1e-5);
    }
  }
}

}  // namespace
}  // namespace caltrop
