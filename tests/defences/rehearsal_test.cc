#include <cmath>

#include "caltrop/train/displacement.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class RehearsalTrapTest : public test::MethodTest {
 protected:
  Json options = {
      {"rates", {1e-2}}, {"lengths", {2}}, {"harmful_bank", 1}, {"benign_bank", 1}, {"collapse_text", "A"}};
};

// The whole objective by hand, at step 1, where nothing is fresh: streams 1 refusals, 2 general, 3 harmful, 4 tasks.
TEST_F(RehearsalTrapTest, IsRestPlusBenignPlusTheDifferenceOfCollapse) {
  options["trap_clip"] = 0, options["benign"] = 0.5, options["trap_weight"] = 2, options["keep"] = 1;
  const Gradients ours = gradients(*make("rehearsal", options), 6, 1);

  Step step = test::make_step(*model, {"refusals", "general", "harmful", "tasks"}, 6, 6, 1);
  DisplacementOptions plan;
  plan.rates = {1e-2}, plan.lengths = {2}, plan.harmful_bank = 1, plan.benign_bank = 1;
  Displacements displacements(plan);
  displacements.advance(step);
  const LossFn collapse = fixed_token_loss(tokenizer.encode("A", false).ids.back());
  const auto both = [&] {
    return test::sum({{1, step.measure("refusals", answer_loss()).gradients},
                      {1, step.measure("general", answer_loss()).gradients}});
  };
  const Gradients rest = both(), asleep = step.measure("general", collapse).gradients;
  Gradients benign, sprung;
  {
    const Way way = displacements.training(step);
    const Nudge there(*model, way.moved, way.scale);
    benign = both();
  }
  {
    const Way way = displacements.attack(step);
    EXPECT_FALSE(way.is_fresh);
    const Nudge there(*model, way.moved, way.scale);
    sprung = step.measure("general", collapse).gradients;
  }
  EXPECT_LE(test::difference(ours, test::sum({{1, rest}, {0.5, benign}, {2, sprung}, {-2, asleep}})), 1e-5);
}

TEST_F(RehearsalTrapTest, TheTrapsGradientIsClipped) {
  options["trap_clip"] = 1e-3, options["keep"] = 0, options["benign"] = 0;
  EXPECT_NEAR(global_norm(gradients("rehearsal", options)).item<double>(), 1e-3, 1e-5);
}

TEST_F(RehearsalTrapTest, WeightZeroIsPlainAlignment) {
  EXPECT_LE(
      test::difference(gradients("rehearsal", {{"trap_weight", 0}, {"benign", 0}, {"collapse_text", "A"}}),
                       test::sum({{1, cross_entropy(batch(1))}, {1, cross_entropy(batch(2))}})),
      1e-5);
}

TEST_F(RehearsalTrapTest, WithoutATrapBenignTrainingIsStillRehearsed) {
  options["trap_weight"] = 0, options["benign"] = 0;
  const Gradients plain = gradients("rehearsal", options);
  options["benign"] = 1;
  EXPECT_GT(test::difference(gradients("rehearsal", options), plain), 1e-2);
  EXPECT_TRUE(std::isfinite(scalar("benign_loss")));
}

TEST_F(RehearsalTrapTest, TasksAndPromptsAreStreamsWhereTheyAreRehearsed) {
  options["tasks"] = {"kind"}, options["reinforced"] = 1, options["reinforced_tokens"] = 4;
  const auto objective = make("rehearsal", options);
  EXPECT_EQ(objective->streams(),
            (std::vector<std::string>{"refusals", "general", "harmful", "task:kind", "prompts"}));
  const double norm = global_norm(gradients(*objective)).item<double>();
  EXPECT_TRUE(std::isfinite(norm) && norm > 0);
}

TEST_F(RehearsalTrapTest, ItsCopiesAreThoseOfItsRehearsals) {
  EXPECT_EQ(make("rehearsal", {{"collapse_text", "A"}})->weight_copies(), 8);
  EXPECT_EQ(make("rehearsal", {{"collapse_text", "A"}, {"harmful_shares", {1, 0.5}}})->weight_copies(), 9);
}

TEST_F(RehearsalTrapTest, EveryKindOfRuinHasAFiniteGradient) {
  for (const char* collapse : {"token", "ascent", "unlikelihood"}) {
    options["collapse"] = collapse;
    const double norm = global_norm(gradients("rehearsal", options)).item<double>();
    EXPECT_TRUE(std::isfinite(norm) && norm > 0) << collapse;
  }
  EXPECT_USER_ERROR(make("rehearsal", {{"collapse_text", ""}}),
                    "rehearsal: option 'collapse_text' is '', which has no tokens");
  EXPECT_USER_ERROR(make("rehearsal", {{"lengths", Json::array()}}),
                    "rehearsal: option 'lengths' is [], want at least one number");
}

}  // namespace
}  // namespace caltrop
