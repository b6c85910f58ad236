#include "caltrop/train/displacement.h"

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

const std::vector<std::string> kStreams = {"general", "harmful", "tasks"};

DisplacementOptions short_ways() {
  DisplacementOptions options;
  options.rates = {1e-2};
  options.lengths = {3};
  options.harmful_bank = 2, options.benign_bank = 1;
  options.harmful_every = 2, options.benign_every = 3;
  return options;
}

// The way that is kept is the attack itself, step by step, to the last bit that bf16 holds.
TEST(Displacement, IsWhereTheRealAttackLeads) {
  const auto rehearsing = test::tiny_model(), attacked = test::tiny_model();
  const NamedTensors before = test::copy_of(rehearsing->parameters());
  Step step = test::make_step(*rehearsing, kStreams, 4, 4);
  const Gradients moved = rehearse(step, "way", {"harmful"}, short_ways());
  EXPECT_TRUE(test::same_bits(rehearsing->parameters(), before));

  const auto optimizer = make_optimizer(OptimizerOptions(), attacked->parameters());
  for (int k = 0; k < 3; ++k) {
    Step rows = test::make_step(*attacked, kStreams, 4, 4).fresh(fmt::format("way, step {}", k), {"harmful"});
    test::take_gradients(*attacked);
    rows.accumulate("harmful", answer_loss());
    Gradients gradients;
    for (const auto& [name, parameter] : attacked->parameters()) gradients.push_back(parameter.grad());
    clip_to_norm(gradients, 1.0);
    optimizer->step(1e-2);
  }
  for (size_t i = 0; i < moved.size(); ++i) {
    const Tensor real = (attacked->parameters()[i].second.detach() - before[i].second).to(at::kBFloat16);
    EXPECT_TRUE(at::equal(moved[i], real)) << before[i].first;
  }
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
    if (number == 0) oldest = displacements.attacks().back().front();
  }
  EXPECT_EQ(fresh, (std::vector<bool>{false, false, true, false}));
  EXPECT_TRUE(at::equal(displacements.attacks().front().front(), oldest)) << "the first made room at step 2";
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
