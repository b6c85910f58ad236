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

TEST_F(BoosterTest, OfASmallStepTheDifferenceIsAlphaTimesTheCurvatureAlongTheGradient) {
  // Of a quadratic h it is alpha H g / |g| for every alpha; near enough the weights any h is one. Streams: 1 refusals, 2 harmful.
  const double alpha = 1e-3;
  const Gradients ours = gradients("booster", {{"attenuate", 1 / alpha}, {"look_ahead", alpha}, {"keep", 0}});
  Gradients along = cross_entropy(batch(2));
  const double length = global_norm(along).item<double>();
  for (const Tensor& g : along) g.div_(length);
  Step step = test::make_step(*model, {"refusals", "harmful"}, 6, 6);
  const Gradients curvature = step.hessian_product("harmful", answer_loss(), along);
  EXPECT_LE(test::difference(test::sum({{1, ours}, {-1, cross_entropy(batch(1))}}), curvature), 0.03);
}

}  // namespace
}  // namespace caltrop
