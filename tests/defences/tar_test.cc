#include <cmath>

#include "caltrop/loss/entropy.h"
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
  const auto with = [&](double growth) {
    return gradients("tar", {{"inner_steps", 4},
                             {"every", 2},
                             {"rates", {1e-3}},
                             {"growth", growth},
                             {"anchor", 0},
                             {"refuse", 0}});
  };
  // exp(growth (k - K)) is 1 at the last point whatever the growth, and less before: the sums differ.
  EXPECT_GT(test::difference(with(0), with(1)), 1e-3);
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
