// gradient_ascent and NPO.
#include <cmath>

#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

using UnlearningTest = test::MethodTest;

TEST_F(UnlearningTest, AscentIsTheNegativeGradientUpToTheCap) {
  // Streams: 1 harmful, 2 refusals.
  const Gradients harmful = cross_entropy(batch(1)), refuse = cross_entropy(batch(2));
  EXPECT_LE(test::difference(gradients("gradient_ascent", {{"unlearn", 0.5}, {"keep", 0}}),
                             test::sum({{-0.5, harmful}, {1, refuse}})),
            1e-5);
  EXPECT_LE(test::difference(gradients("gradient_ascent", {{"cap", 0.1}, {"keep", 0}}), refuse), 1e-6)
      << "past the cap nothing pushes";
}

TEST_F(UnlearningTest, NpoBeginsAsAscentOnWholeAnswers) {
  // At the reference the gradient is that of -NLL, summed over a row's tokens, mean over rows. Streams: 1 harmful.
  const Batch rows = batch(1);
  const double tokens_a_row = static_cast<double>(rows.label_count()) / static_cast<double>(rows.rows);
  const Gradients ours = gradients("npo", {{"preset", "paper"}, {"retain", 0}});
  EXPECT_LE(test::difference(ours, test::sum({{-tokens_a_row, cross_entropy(rows)}})), 1e-4);
  EXPECT_NEAR(scalar("npo_loss"), 2 / 0.1 * std::log(2.0), 1e-3);
}

TEST_F(UnlearningTest, NpoRetainsByAnswersOrByKl) {
  // Streams: 1 harmful, 2 general.
  EXPECT_LE(test::difference(gradients("npo", {{"unlearn", 0}, {"refuse", 0}, {"retain", 2}}),
                             test::sum({{2, cross_entropy(batch(2))}})),
            1e-5);
  const Gradients kl =
      gradients("npo", {{"unlearn", 0}, {"refuse", 0}, {"retain", 1}, {"retain_with", "kl"}});
  EXPECT_NEAR(scalar("keep_loss"), 0, 1e-5);
  EXPECT_LE(global_norm(kl).item<double>(), 1e-4) << "the start model is its own reference: no slope";
}

TEST_F(UnlearningTest, NpoDoesNotDependOnMicroBatches) {
  const auto npo = make("npo", Json::object());
  test::scale_weights(*model, 1.01);  // away from the reference
  const auto of = [&](int64_t part) {
    Step step = test::make_step(*model, npo->streams(), 6, part);
    npo->add_gradients(step);
    return test::take_gradients(*model);
  };
  EXPECT_LE(test::difference(of(2), of(6)), 2e-5);
}

}  // namespace
}  // namespace caltrop
