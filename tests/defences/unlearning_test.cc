// gradient_ascent and NPO.
#include <cmath>

#include "tests/defences/method_test.h"
#include "tests/reference/npo_twin.h"

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

TEST_F(UnlearningTest, NpoAwayFromItsReferenceEqualsTheTwin) {
  const auto start = model->frozen_copy();
  const auto paper = make("npo", {{"preset", "paper"}, {"retain", 0}}),
             per_token = make("npo", {{"preset", "ctrap"}, {"refuse", 0}, {"unlearn", 1}}),
             kl = make("npo", {{"unlearn", 0}, {"refuse", 0}, {"retain_with", "kl"}});
  test::scale_weights(*model, 1.01);
  const test::NpoTwin twin{*model, *start};
  const auto of = [&](Objective& npo) {
    Step step = test::make_step(*model, npo.streams(), 6, 6);
    npo.add_gradients(step);
    return test::take_gradients(*model);
  };
  // Streams: 1 harmful, 2 general.
  EXPECT_LE(test::difference(of(*paper), twin.unlearning(test::random_rows(1, 6), 0.1)), 1e-4);
  EXPECT_LE(test::difference(of(*per_token), twin.unlearning_per_token(test::random_rows(1, 6))), 1e-4);
  EXPECT_LE(test::difference(of(*kl), twin.kl(test::random_rows(2, 6))), 1e-3)
      << "a small slope, near the minimum";
}

TEST_F(UnlearningTest, NpoRefusesOptionsThatDoNothing) {
  EXPECT_USER_ERROR(make("npo", {{"preset", "ctrap"}, {"beta", 0.5}}),
                    "npo: option 'beta' is 0.5, and with per_token it is 1; want it left out");
  EXPECT_USER_ERROR(make("npo", {{"retain", 0}, {"retain_with", "kl"}}),
                    "npo: option 'retain_with' is 'kl', which does nothing with retain=0; want it left out");
  const Json manifest = make("npo", {{"per_token", true}, {"retain", 0}})->options();
  EXPECT_EQ(manifest["beta"], 1.0);
  EXPECT_EQ(make("npo", manifest)->options(), manifest) << "what a run recorded can be run again";
}

}  // namespace
}  // namespace caltrop
