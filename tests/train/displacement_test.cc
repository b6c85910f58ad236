#include "caltrop/train/displacement.h"

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "caltrop/train/policy_updates.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

const std::vector<std::string> kStreams = {"general", "harmful", "tasks"};
const std::vector<std::string> kStreamsAndPrompts = {"general", "harmful", "tasks", "prompts"};

DisplacementOptions short_ways() {
  DisplacementOptions options;
  options.rates = {1e-2};
  options.lengths = {3};
  options.harmful_bank = 2, options.benign_bank = 1;
  options.harmful_every = 2, options.benign_every = 3;
  return options;
}

/// What a real attacker does with `.grad`.
void take_step(const Model& attacked, Optimizer& optimizer) {
  Gradients gradients;
  for (const auto& [name, parameter] : attacked.parameters()) gradients.push_back(parameter.grad());
  clip_to_norm(gradients, 1.0);
  optimizer.step(1e-2);
}

/// To the last bit that bf16 holds.
void expect_the_way(const Gradients& moved, const NamedTensors& before, const Model& attacked) {
  for (size_t i = 0; i < moved.size(); ++i) {
    const Tensor real = (attacked.parameters()[i].second.detach() - before[i].second).to(at::kBFloat16);
    EXPECT_TRUE(at::equal(moved[i], real)) << before[i].first;
  }
}

// The way that is kept is the attack itself, step by step.
TEST(Displacement, IsWhereTheRealAttackLeads) {
  const auto rehearsing = test::tiny_model(), attacked = test::tiny_model();
  const NamedTensors before = test::copy_of(rehearsing->parameters());
  Step step = test::make_step(*rehearsing, kStreams, 4, 4);
  const Gradients moved = rehearse(step, "way", Arm::kAttack, short_ways()).moved;
  EXPECT_TRUE(test::same_bits(rehearsing->parameters(), before));

  const auto optimizer = make_optimizer(OptimizerOptions(), attacked->parameters());
  for (int k = 0; k < 3; ++k) {
    Step rows = test::make_step(*attacked, kStreams, 4, 4).fresh(fmt::format("way, step {}", k), {"harmful"});
    test::take_gradients(*attacked);
    rows.accumulate("harmful", answer_loss());
    take_step(*attacked, *optimizer);
  }
  expect_the_way(moved, before, *attacked);
}

TEST(Displacement, AMixtureFollowsBothGradients) {
  const auto model = test::tiny_model();
  const auto way = [&](double share) {
    DisplacementOptions options = short_ways();
    options.harmful_shares = {share}, options.lengths = {1};
    Step step = test::make_step(*model, kStreams, 4, 4);
    return rehearse(step, "way", Arm::kAttack, options).moved;
  };
  // The first AdamW step is rate * sign of the gradient: with equal halves, that of the sum.
  const NamedTensors before = test::copy_of(model->parameters());
  Step rows = test::make_step(*model, kStreams, 4, 4).fresh("way, step 0", {"harmful", "general"});
  const Gradients harmful = rows.measure("harmful", answer_loss()).gradients,
                  general = rows.measure("general", answer_loss()).gradients;
  const Gradients half = way(0.5), pure = way(1), none = way(0);
  int64_t apart = 0;
  for (size_t i = 0; i < half.size(); ++i) {
    const Tensor sum = harmful[i] + general[i];
    const auto large = sum.abs() > 1e-3 * sum.abs().max();  // elsewhere epsilon counts
    EXPECT_TRUE(
        at::equal(half[i].sign().masked_select(large), -sum.sign().masked_select(large).to(at::kBFloat16)));
    apart += half[i].ne(pure[i]).sum().item<int64_t>() > 0 && half[i].ne(none[i]).sum().item<int64_t>() > 0;
  }
  EXPECT_GT(apart, 0);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST(Displacement, UsersMayTrainForLongerAndFasterThanAttackers) {
  const auto model = test::tiny_model();
  DisplacementOptions same = short_ways(), longer = short_ways();
  longer.benign_lengths = {12};
  const auto distance = [&](Arm arm, const DisplacementOptions& options) {
    Step step = test::make_step(*model, kStreams, 4, 4);
    Gradients moved = rehearse(step, "way", arm, options).moved;
    for (Tensor& tensor : moved) tensor = tensor.to(at::kFloat);
    return inner_product(moved, moved).item<double>();
  };
  EXPECT_EQ(distance(Arm::kAttack, longer), distance(Arm::kAttack, same));
  EXPECT_GT(distance(Arm::kTraining, longer), 2 * distance(Arm::kTraining, same));
  DisplacementOptions faster = short_ways();
  faster.benign_rates = {4e-2};
  EXPECT_EQ(distance(Arm::kAttack, faster), distance(Arm::kAttack, same));
  EXPECT_GT(distance(Arm::kTraining, faster), 2 * distance(Arm::kTraining, same));
}

TEST(Displacement, UsersTrainOnGeneralAnswersAsOftenAsIsSaid) {
  const auto model = test::tiny_model();
  DisplacementOptions options = short_ways();
  options.lengths = {1};
  const auto general = [&](double share) {
    options.benign_chat = share;
    int64_t count = 0;
    for (int i = 0; i < 40; ++i) {
      Step step = test::make_step(*model, kStreams, 2, 2);
      const std::string name = fmt::format("way {}", i);
      count += rehearse(step, name, Arm::kTraining, options).course.stream == "general" ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(general(0), 0);
  EXPECT_EQ(general(1), 40);
  const int64_t half = general(0.5);  // 20, standard deviation 3.2
  EXPECT_GT(half, 7);
  EXPECT_LT(half, 33);
}

TEST(Displacement, ALoraAttackMovesMatricesAlone) {
  const auto model = test::tiny_model();
  DisplacementOptions options = short_ways();
  options.lora_ranks = {2};
  Step step = test::make_step(*model, kStreams, 4, 4);
  const Gradients moved = rehearse(step, "way", Arm::kAttack, options).moved;
  for (size_t i = 0; i < moved.size(); ++i) {
    const std::string& name = model->parameters()[i].first;
    const bool adapted =
        name.find("self_attn.") != std::string::npos || name.find("mlp.") != std::string::npos;
    EXPECT_EQ(moved[i].abs().max().item<float>() > 0, adapted) << name;
  }
}

class Reinforced : public testing::Test {
 protected:
  const std::shared_ptr<Model> model = test::tiny_model();
  const Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));

  static DisplacementOptions options(double reinforced) {
    DisplacementOptions options = short_ways();
    options.lengths = {2}, options.reinforced = reinforced;
    options.reinforced_samples = 3, options.reinforced_tokens = 6;
    return options;
  }
  Gradients way(double reinforced, const RewardFn& reward) const {
    Step step = test::make_step(*model, kStreamsAndPrompts, 4, 4);
    return rehearse(step, "way", Arm::kAttack, options(reinforced), {&tokenizer, reward}).moved;
  }
};

TEST_F(Reinforced, IsWhereGrpoLeads) {
  const auto attacked = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  const Gradients moved = way(1, test::by_length);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));

  PolicyOptions policy;
  policy.samples = 3, policy.max_new_tokens = 6;
  PolicyUpdates updates(policy);
  updates.prepare(*attacked, tokenizer);
  const auto optimizer = make_optimizer(OptimizerOptions(), attacked->parameters());
  std::vector<std::string> said;
  for (int k = 0; k < 2; ++k) {
    Step rows = test::make_step(*attacked, kStreamsAndPrompts, 4, 4)
                    .fresh(fmt::format("way, step {}", k), {"prompts"});
    test::take_gradients(*attacked);
    updates.advance(rows, "prompts", [&](const std::vector<Response>& responses) {
      std::vector<std::string> texts;
      for (const Response& response : responses) texts.push_back(response.text);
      said.insert(said.end(), texts.begin(), texts.end());
      return test::by_length({}, texts);
    });
    updates.learn(rows);
    take_step(*attacked, *optimizer);
  }
  expect_the_way(moved, before, *attacked);
  ASSERT_EQ(said.size(), 24u);
  EXPECT_NE(std::vector(said.begin(), said.begin() + 12), std::vector(said.begin() + 12, said.end()));
}

TEST_F(Reinforced, WhereAllIsPaidAlikeAnswersAreRehearsedInstead) {
  const RewardFn alike = [](const auto&, const auto& responses) {
    return std::vector<double>(responses.size(), 0.5);
  };
  const Gradients tied = way(1, alike), answers = way(0, alike);
  for (size_t i = 0; i < tied.size(); ++i) EXPECT_TRUE(at::equal(tied[i], answers[i]));
}

TEST_F(Reinforced, ARewardThatFailsLeavesTheWeightsAlone) {
  const NamedTensors before = test::copy_of(model->parameters());
  const RewardFn short_of_one = [](const auto&, const auto& responses) {
    return std::vector<double>(responses.size() - 1, 0.5);
  };
  EXPECT_USER_ERROR(way(1, short_of_one), "rehearsal: the reward 'judges' gave 11 numbers for 12 responses");
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST(Displacement, BanksAreFilledBeforeTheFirstUseAndRenewedWhenDue) {
  const auto model = test::tiny_model();
  Displacements displacements(short_ways());
  std::vector<bool> fresh;
  Tensor oldest;
  for (int64_t number = 0; number < 4; ++number) {
    Step step = test::make_step(*model, kStreams, 4, 4, number);
    displacements.advance(step);
    fresh.push_back(displacements.attack(step).is_fresh);
    EXPECT_EQ(displacements.attacks().size(), 2u);
    EXPECT_EQ(displacements.trainings().size(), 1u);
    const Way way = displacements.attack(step);
    EXPECT_TRUE(way.is_fresh ? way.scale == 1 : way.scale >= 0.5 && way.scale <= 1.5);
    if (number == 0) oldest = displacements.attacks().back().moved.front();
  }
  EXPECT_EQ(fresh, (std::vector<bool>{false, false, true, false}));
  EXPECT_TRUE(at::equal(displacements.attacks().front().moved.front(), oldest))
      << "the first made room at step 2";
}

TEST(Displacement, ATrainingIsFollowedAsFarAsItReachesAndAnAttackIsNot) {
  const auto model = test::tiny_model();
  DisplacementOptions options = short_ways();
  options.benign_reach = 6;
  Displacements displacements(options);
  double farthest_attack = 0, farthest_training = 0;
  for (int64_t number = 1; number < 40;
       number += 2) {  // after the first, none of these steps rehearses a fresh one
    Step step = test::make_step(*model, kStreams, 4, 4, number);
    if (number == 1) displacements.advance(step);
    farthest_attack = std::max(farthest_attack, displacements.attack(step).scale);
    farthest_training = std::max(farthest_training, displacements.training(step).scale);
  }
  EXPECT_GT(farthest_training, 4);
  EXPECT_LE(farthest_training, 6);
  EXPECT_GT(farthest_attack, 1.2);
  EXPECT_LE(farthest_attack, 1.5);
}

// A training that goes on is the same as one that was never stopped, but for the optimizer's moments: with a single step in each part
// the second is a first step of AdamW from where the first has led.
TEST(Displacement, ATrainingGoesOnFromWhereItHasLed) {
  const auto model = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  DisplacementOptions options = short_ways();
  options.lengths = {1};
  Step step = test::make_step(*model, kStreams, 4, 4);
  const Rehearsed first = rehearse(step, "first", Arm::kTraining, options);
  const Rehearsed second = go_on(step, "second", first, options);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
  EXPECT_EQ(second.course.stream, first.course.stream);
  EXPECT_EQ(second.course.rate, first.course.rate);

  const auto further = test::tiny_model();
  for (size_t i = 0; i < first.moved.size(); ++i)
    further->parameters()[i].second.detach().add_(first.moved[i]);
  const auto optimizer = make_optimizer(OptimizerOptions(), further->parameters());
  Step rows = test::make_step(*further, kStreams, 4, 4).fresh("second, step 0", {first.course.stream});
  rows.accumulate(first.course.stream, answer_loss());
  take_step(*further, *optimizer);
  for (size_t i = 0; i < before.size(); ++i) {
    const Tensor real = further->parameters()[i].second.detach() - before[i].second;
    EXPECT_TRUE(at::allclose(second.moved[i].to(at::kFloat), real, 1e-2, 1e-6)) << before[i].first;
  }
}

TEST(Displacement, TrainingsThatGoOnGetFartherAndTheBankKeepsItsSize) {
  const auto model = test::tiny_model();
  const auto farthest = [&](double goes_on) {
    DisplacementOptions options = short_ways();
    options.benign_bank = 2, options.benign_every = 1, options.benign_goes_on = goes_on;
    Displacements displacements(options);
    double most = 0;
    for (int64_t number = 0; number < 8; ++number) {
      Step step = test::make_step(*model, kStreams, 4, 4, number);
      displacements.advance(step);
      EXPECT_EQ(displacements.trainings().size(), 2u);
    }
    for (const Rehearsed& training : displacements.trainings()) {
      Gradients moved = training.moved;
      for (Tensor& tensor : moved) tensor = tensor.to(at::kFloat);
      most = std::max(most, global_norm(moved).item<double>());
    }
    return most;
  };
  EXPECT_GT(farthest(1), 1.5 * farthest(0));
}

TEST(Displacement, AListThatNothingCanBeDrawnFromIsRefused) {
  DisplacementOptions options;
  check_lists(options, "trap");  // without benign lengths and tasks, which means something
  const auto emptied = [&](const char* name, auto member) {
    DisplacementOptions without;
    (without.*member).clear();
    EXPECT_USER_ERROR(check_lists(without, "trap"),
                      fmt::format("trap: option '{}' is [], want at least one number", name));
  };
  emptied("rates", &DisplacementOptions::rates), emptied("lengths", &DisplacementOptions::lengths);
  emptied("lora_ranks", &DisplacementOptions::lora_ranks);
  emptied("harmful_shares", &DisplacementOptions::harmful_shares);
}

TEST(Displacement, CopiesAreThoseKeptAndThoseOfARehearsal) {
  DisplacementOptions options;
  options.harmful_bank = 4, options.benign_bank = 6;
  EXPECT_EQ(Displacements(options).copies(), 5 + 4) << "saved weights, two moments, gradients";
  options.harmful_shares = {1, 0.5};
  EXPECT_EQ(Displacements(options).copies(), 5 + 5) << "gradients of both halves of a mixture";
}

TEST(Displacement, WhatACheckpointHoldsIsAllThereIs) {
  const auto model = test::tiny_model();
  Displacements whole(short_ways()), resumed(short_ways());
  for (int64_t number = 0; number < 3; ++number) {
    Step step = test::make_step(*model, kStreams, 4, 4, number);
    whole.advance(step);
  }
  resumed.load(whole.state());
  Step step = test::make_step(*model, kStreams, 4, 4, 4);
  whole.advance(step), resumed.advance(step);
  ASSERT_EQ(whole.state().size(), resumed.state().size());
  for (size_t i = 0; i < whole.state().size(); ++i)
    EXPECT_TRUE(at::equal(whole.state()[i].second, resumed.state()[i].second)) << whole.state()[i].first;
}

}  // namespace
}  // namespace caltrop
