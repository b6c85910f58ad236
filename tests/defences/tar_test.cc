#include <cmath>

#include "caltrop/loss/entropy.h"
#include "caltrop/loss/reference.h"
#include "caltrop/train/rehearsal.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

using TarTest = test::MethodTest;

TEST_F(TarTest, OneStepOfTheAttackerByHand) {
  // Streams: 1 harmful, 2 general. AdamW's first step is rate * g / (|g| + eps) in every weight.
  const double rate = 1e-2;
  const Json options = {{"inner_steps", 1}, {"every", 1},  {"rates", {rate}},
                        {"anchor", 0},      {"refuse", 0}, {"resist", 2}};
  const Gradients ours = gradients("tar", options);

  Step step = test::make_step(*model, {"harmful", "general"}, 6, 6);
  Step rows = step.fresh("attack step 1", {"harmful"});
  const Gradients attack = rows.measure("harmful", answer_loss()).gradients;
  Gradients moves;
  for (const Tensor& g : attack) moves.push_back(g / (g.abs() + 1e-8));
  Gradients entropy;
  {
    const Nudge there(*model, moves, -rate);
    entropy = step.measure("harmful", entropy_loss()).gradients;
  }
  EXPECT_LE(test::difference(ours, test::sum({{1, cross_entropy(batch(2))}, {-2, entropy}})), 1e-4);
}

TEST_F(TarTest, LaterPointsCountMore) {
  const Gradients ours = gradients("tar", {{"inner_steps", 2},
                                           {"every", 1},
                                           {"rates", {1e-3}},
                                           {"growth", 2},
                                           {"resist", 1},
                                           {"anchor", 0},
                                           {"refuse", 0}});
  Step step = test::make_step(*model, {"harmful", "general"}, 6, 6);
  std::vector<Gradients> entropies;
  {
    Rehearsal attacker(*model, OptimizerOptions());
    for (int64_t k = 1; k <= 2; ++k) {
      Step rows = step.fresh(fmt::format("attack step {}", k), {"harmful"});
      attacker.train(rows, "harmful", answer_loss(), 1e-3);
      entropies.push_back(step.measure("harmful", entropy_loss()).gradients);
    }
  }
  EXPECT_LE(
      test::difference(
          ours,
          test::sum({{1, cross_entropy(batch(2))}, {-std::exp(-2.0), entropies[0]}, {-1, entropies[1]}})),
      1e-5);
}

TEST_F(TarTest, TheAnchorIsTheDistanceFromTheStartModelsStates) {
  const auto start = model->frozen_copy();
  const Json bare = {{"resist", 0}, {"refuse", 0}, {"anchor", 0}};
  Json anchored = bare;
  anchored["anchor"] = 3;
  const auto without = make("tar", bare), with = make("tar", anchored);
  test::scale_weights(*model, 1.01);
  const auto of = [&](Objective& objective) {
    Step step = test::make_step(*model, {"harmful", "general"}, 6, 6);
    objective.add_gradients(step);
    return test::take_gradients(*model);
  };
  Step step = test::make_step(*model, {"harmful", "general"}, 6, 6);
  const Gradients distance =
      step.measure("general", state_distance(step.states_of("general", *start))).gradients;
  EXPECT_GT(global_norm(distance).item<double>(), 0);
  EXPECT_LE(test::difference(of(*with), test::sum({{1, of(*without)}, {3, distance}})), 1e-5);
}

TEST_F(TarTest, WithoutResistanceItKeepsTheModel) {
  const Gradients ours =
      gradients("tar", {{"resist", 0}, {"anchor", 0}});  // streams: harmful, 2 general, 3 refusals
  EXPECT_LE(test::difference(ours, test::sum({{1, cross_entropy(batch(2))}, {1, cross_entropy(batch(3))}})),
            1e-5);
  EXPECT_USER_ERROR(make("tar", {{"rates", Json::array()}}),
                    "tar: option 'rates' is empty, want the attacker's learning rates");
}

}  // namespace
}  // namespace caltrop
