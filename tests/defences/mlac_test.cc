#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class MlacTest : public test::MethodTest {
 protected:
  static Json options(const std::string& meta, int64_t steps) {
    return {{"meta", meta}, {"inner_steps", steps}, {"inner_rate", 1e-2},
            {"good", 0},    {"refuse", 0},          {"cap", 1000}};
  }
};

TEST_F(MlacTest, WithoutInnerStepsItIsAscent) {
  Step step = test::make_step(*model, {"harmful", "general", "refusals"}, 6, 6);
  Step rows = step.fresh("attack step 0", {"harmful"});
  const Gradients ascent = test::sum({{-1, rows.measure("harmful", answer_loss()).gradients}});
  EXPECT_LE(test::difference(gradients("mlac", options("exact", 0)), ascent), 1e-4);
  EXPECT_LE(test::difference(gradients("mlac", options("first_order", 0)), ascent), 1e-5);
}

TEST_F(MlacTest, TheMetaGradientIsTheSlopeOfTheAdaptedLoss) {
  // Adam turns a gradient into little more than its sign; a large epsilon makes the way smooth enough for differences.
  Json smooth = options("exact", 2);
  smooth["inner_epsilon"] = 0.1;
  smooth["inner_rate"] = 0.05;
  const auto mlac = make("mlac", smooth);
  const Gradients meta = gradients(*mlac);
  // Against a random direction and against itself.
  at::manual_seed(5);
  Gradients random;
  for (const Tensor& g : meta) random.push_back(at::randn_like(g));
  for (Gradients direction : {meta, random}) {
    const double norm = global_norm(direction).item<double>();
    for (Tensor& d : direction) d = d / norm;
    const auto adapted = [&](double scale) {
      const Nudge there(*model, direction, scale);
      Step step = test::make_step(*model, mlac->streams(), 6, 6);
      scalars = mlac->add_gradients(step);
      test::take_gradients(*model);
      return scalar("adapted_loss");
    };
    const double h = 1e-3, slope = (adapted(h) - adapted(-h)) / (2 * h);
    const double expected =
        -inner_product(meta, direction).item<double>();  // the method descends on minus the loss
    EXPECT_NEAR(slope, expected, 0.02 * std::max(1.0, std::abs(expected)) + 0.02);
  }
}

TEST_F(MlacTest, FirstOrderFollowsTheSameWay) {
  gradients("mlac", options("exact", 3));
  const double exact = scalar("adapted_loss");
  gradients("mlac", options("first_order", 3));
  EXPECT_NEAR(scalar("adapted_loss"), exact, 2e-3)
      << "epsilon inside or outside the root is all the difference";
}

TEST_F(MlacTest, TheCapEndsTheAscent) {
  Json capped = options("first_order", 1);
  capped["cap"] = 0.01;
  EXPECT_EQ(global_norm(gradients("mlac", capped)).item<double>(), 0);
}

}  // namespace
}  // namespace caltrop
