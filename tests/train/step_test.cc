#include "caltrop/train/step.h"

#include <cmath>

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "caltrop/loss/layers.h"
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

TEST(Step, NormsOfManyWeightsAreExact) {
  // As many as the embedding of a small model. Added up in fp32 they are a thousandth short.
  const Tensor x = at::randn({28'000'000}), y = x + 0.5 * at::randn({28'000'000});
  const double squares = x.to(at::kDouble).square().sum().item<double>(),
               products = (x.to(at::kDouble) * y.to(at::kDouble)).sum().item<double>();
  EXPECT_NEAR(global_norm({x}).item<double>() / std::sqrt(squares), 1, 1e-6);
  EXPECT_NEAR(inner_product({x}, {y}).item<double>() / products, 1, 1e-6);
}

TEST(Step, RandomStreamsAreOfTheStepOrOfTheRun) {
  const auto model = test::tiny_model();
  const Step first(0, 3, *model, {}), second(1, 3, *model, {}), other(0, 4, *model, {});
  EXPECT_NE(first.random("x").next(), second.random("x").next());
  EXPECT_EQ(first.random_of_run("x").next(), second.random_of_run("x").next());
  EXPECT_NE(first.random_of_run("x").next(), other.random_of_run("x").next());
}

TEST(Step, LossesThatShareAForwardPassAreMeasuredAsAlone) {
  const auto model = test::tiny_model();
  for (const int64_t part : {6, 4}) {
    Step together = make_step(*model, {"a"}, 6, part), alone = make_step(*model, {"a"}, 6, part);
    const std::vector<Measured> both = together.measure("a", {layerwise_loss(), answer_loss()});
    const Measured layers = alone.measure("a", layerwise_loss()), answers = alone.measure("a", answer_loss());
    EXPECT_NEAR(both[0].loss.item<double>(), layers.loss.item<double>(), 1e-5);
    EXPECT_NEAR(both[1].loss.item<double>(), answers.loss.item<double>(), 1e-5);
    EXPECT_LE(test::difference(both[0].gradients, layers.gradients), 1e-5) << part;
    EXPECT_LE(test::difference(both[1].gradients, answers.gradients), 1e-5) << part;
    EXPECT_EQ(together.forward_passes(), 1);
    EXPECT_EQ(together.backward_passes(), 2);
    for (const auto& [name, parameter] : model->parameters())
      EXPECT_FALSE(parameter.grad().defined()) << name;
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

TEST(Step, HessianProductIsThatOfFiniteDifferences) {
  const auto model = test::tiny_model();
  Step step = make_step(*model, {"a"}, 4, 2);
  Gradients direction;
  at::manual_seed(9);
  for (const auto& [name, parameter] : model->parameters())
    direction.push_back(at::randn_like(parameter).detach());
  const double length = global_norm(direction).item<double>();
  for (const Tensor& d : direction) d.div_(length);
  const Gradients exact = step.hessian_product("a", answer_loss(), direction);
  const auto at = [&](double scale) {
    const Nudge there(*model, direction, scale);
    return step.measure("a", answer_loss()).gradients;
  };
  const double h = 3e-2;
  Gradients difference = at(h);
  const Gradients behind = at(-h);
  for (size_t i = 0; i < difference.size(); ++i) difference[i].sub_(behind[i]).div_(2 * h);
  EXPECT_LE(test::difference(difference, exact), 0.01);
  // And it does not depend on how the batch was cut.
  Step whole = make_step(*model, {"a"}, 4, 4);
  EXPECT_LE(test::difference(whole.hessian_product("a", answer_loss(), direction), exact), 1e-4);
}

TEST(Step, FreshRowsAreOthersAndTheSameForTheSameName) {
  const auto model = test::tiny_model();
  Step step = make_step(*model, {"a"}, 4, 4);
  const auto loss = [&](const std::string& name) {
    Step other = step.fresh(name, {"a"});
    return other.measure_loss("a", answer_loss()).item<double>();
  };
  EXPECT_EQ(loss("x"), loss("x"));
  EXPECT_NE(loss("x"), loss("y"));
  EXPECT_NE(loss("x"), step.measure_loss("a", answer_loss()).item<double>());
  EXPECT_EQ(step.forward_passes(), 6) << "passes over fresh rows are this step's";
}

TEST(Step, AttentionGradientsAreTheSlopeOfTheLossUnderShifts) {
  const auto model = test::tiny_model();
  for (const int64_t part : {4, 2}) {
    Step step = make_step(*model, {"a"}, 4, part);
    ActivationShifts shifts = step.attention_gradients("a", answer_loss());
    double square = 0;
    for (const auto& micro : shifts) {
      EXPECT_EQ(micro.size(), 2u);
      for (const Tensor& g : micro) square += g.square().sum().item<double>();
    }
    const double h = 1e-2 / std::sqrt(square);
    for (const auto& micro : shifts) {
      for (const Tensor& g : micro) g.mul_(h);
    }
    const double before = step.measure_loss("a", answer_loss()).item<double>();
    const double after = step.accumulate("a", answer_loss(), 1.0, shifts).item<double>();
    EXPECT_NEAR((after - before) / (h * square), 1, 0.05) << "micro-batches of " << part;
    take_gradients(*model);
  }
}

TEST(Step, NudgesAThousandTimesAndTheWeightsAreTheSameBits) {
  const auto model = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  Gradients direction;
  for (const auto& [name, parameter] : model->parameters())
    direction.push_back(at::randn_like(parameter).detach());
  for (int i = 0; i < 1000; ++i) {
    const Nudge there(*model, direction, 0.1 * i);
    if (i > 0) {
      EXPECT_GT(there.moved(), 0.99);
    }
  }
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

}  // namespace
}  // namespace caltrop
