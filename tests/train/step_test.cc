#include "caltrop/train/step.h"

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

using test::make_step;
using test::take_gradients;

TEST(Step, MicroBatchesAreTheSameAlgorithm) {
  const auto model = test::tiny_model();
  Step whole = make_step(*model, {"a"}, 8, 8);
  const Measured one = whole.measure("a", answer_loss());
  for (const int64_t part : {1, 3, 4}) {
    Step split = make_step(*model, {"a"}, 8, part);
    const Measured many = split.measure("a", answer_loss());
    EXPECT_NEAR(many.loss.item<double>(), one.loss.item<double>(), 1e-5);
    EXPECT_LE(test::difference(many.gradients, one.gradients), 1e-5) << "8 rows in parts of " << part;
  }
}

TEST(Step, MeasureLeavesGradientsAlone) {
  const auto model = test::tiny_model();
  Step step = make_step(*model, {"a", "b"}, 4, 2);
  step.accumulate("a", answer_loss());
  Gradients before;
  for (const auto& [name, parameter] : model->parameters()) before.push_back(parameter.grad().clone());
  step.measure("b", answer_loss());
  EXPECT_EQ(test::difference(take_gradients(*model), before), 0);
}

TEST(Step, AccumulateIsMeasureAndAdd) {
  const auto model = test::tiny_model();
  for (const int64_t part : {4, 1}) {
    Step step = make_step(*model, {"a", "b"}, 4, part);
    step.accumulate("a", answer_loss());
    step.accumulate("b", answer_loss(), 0.25);
    const Gradients direct = take_gradients(*model);
    step.add(step.measure("a", answer_loss()).gradients);
    step.add(step.measure("b", answer_loss()).gradients, 0.25);
    EXPECT_LE(test::difference(direct, take_gradients(*model)), 1e-6);
  }
}

TEST(Step, MeasuredLossIsTheLossWithoutGradients) {
  const auto model = test::tiny_model();
  Step step = make_step(*model, {"a"}, 6, 2);
  EXPECT_NEAR(step.measure("a", answer_loss()).loss.item<double>(),
              step.measure_loss("a", answer_loss()).item<double>(), 1e-6);
}

TEST(Step, GradientsAreThoseOfFiniteDifferences) {
  const auto model = test::tiny_model();
  Step step = make_step(*model, {"a"}, 4, 4);
  const Measured measured = step.measure("a", answer_loss());
  // Along the gradient itself the loss must fall by scale * |g|^2, to first order.
  const double square = inner_product(measured.gradients, measured.gradients).item<double>();
  const double scale = 1e-3 / std::sqrt(square);
  double up, down;
  {
    const Nudge nudge(*model, measured.gradients, scale);
    up = step.measure_loss("a", answer_loss()).item<double>();
  }
  {
    const Nudge nudge(*model, measured.gradients, -scale);
    down = step.measure_loss("a", answer_loss()).item<double>();
  }
  EXPECT_NEAR((up - down) / (2 * scale) / square, 1.0, 0.01);
}

TEST(Nudge, RestoresEveryBitAlsoWhenSomethingThrows) {
  const auto model = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  Step step = make_step(*model, {"a"}, 4, 4);
  const Gradients direction = step.measure("a", answer_loss()).gradients;
  for (int i = 0; i < 1000; ++i) const Nudge nudge(*model, direction, 0.1);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
  const LossFn failing{[](const LossInputs&) -> Total { throw UserError("a loss that fails"); }};
  EXPECT_USER_ERROR(
      {
        const Nudge nudge(*model, direction, 0.1);
        step.measure("a", failing);
      },
      "a loss that fails");
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST(Nudge, MovesByScaleTimesDirection) {
  const auto model = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  Step step = make_step(*model, {"a"}, 4, 4);
  const Gradients direction = step.measure("a", answer_loss()).gradients;
  const double norm = global_norm(direction).item<double>();
  const Nudge nudge(*model, direction, -0.1 / norm);
  double square = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    square += (model->parameters()[i].second - before[i].second).square().sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(square), 0.1, 1e-5);
}

}  // namespace
}  // namespace caltrop
