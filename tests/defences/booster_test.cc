#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

using BoosterTest = test::MethodTest;

TEST_F(BoosterTest, GradientsAreThoseOfThePaper) {
  // Streams: 1 refusals, 2 harmful. grad f + lambda (grad h(w) - grad h(w - alpha g / |g|)), by explicit copies.
  const double lambda = 3, alpha = 0.4;
  const Gradients ours = gradients("booster", {{"attenuate", lambda}, {"look_ahead", alpha}, {"keep", 0}});
  const Gradients align = cross_entropy(batch(1)), here = cross_entropy(batch(2));
  const double length = alpha / (global_norm(here).item<double>() + 1e-7);
  Gradients there;
  {
    const at::NoGradGuard off;
    for (size_t i = 0; i < here.size(); ++i) model->parameters()[i].second.sub_(here[i], length);
    {
      const at::AutoGradMode on(true);
      there = cross_entropy(batch(2));
    }
    for (size_t i = 0; i < here.size(); ++i) model->parameters()[i].second.copy_(before[i].second);
  }
  EXPECT_LE(test::difference(ours, test::sum({{1, align}, {lambda, here}, {-lambda, there}})), 2e-5);
  EXPECT_GT(scalar("harmful_drop"), 0) << "a step down the gradient gains something";
}

TEST_F(BoosterTest, OfWeightZeroIsAlignment) {
  EXPECT_EQ(test::difference(gradients("booster", {{"attenuate", 0}, {"keep", 0}}),
                             gradients("align", {{"keep", 0}})),
            0);
}

TEST_F(BoosterTest, DoesNotDependOnMicroBatches) {
  const auto booster = make("booster", {{"keep", 1}});
  EXPECT_LE(test::difference(gradients(*booster, 1), gradients(*booster, 6)), 5e-5);
}

}  // namespace
}  // namespace caltrop
