#include "caltrop/train/rehearsal.h"

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

TEST(Rehearsal, IsTheSameTrainingAsTheRealOneAndLeavesNoTrace) {
  const auto rehearsing = test::tiny_model(), training = test::tiny_model();
  const NamedTensors before = test::copy_of(rehearsing->parameters());
  const auto optimizer = make_optimizer(OptimizerOptions(), training->parameters());
  {
    Rehearsal attack(*rehearsing, OptimizerOptions());
    for (int k = 0; k < 4; ++k) {
      const std::string name = fmt::format("attack step {}", k);
      Step rows = test::make_step(*rehearsing, {"a"}, 4, 4).fresh(name, {"a"});
      attack.train(rows, "a", answer_loss(), 1e-2);
      Step same = test::make_step(*training, {"a"}, 4, 4).fresh(name, {"a"});
      test::take_gradients(*training);
      same.accumulate("a", answer_loss());
      optimizer->step(1e-2);
      EXPECT_TRUE(test::same_bits(rehearsing->parameters(), training->parameters())) << "step " << k;
    }
    const Gradients moved = attack.displacement();
    EXPECT_GT(global_norm(moved).item<double>(), 0.1);
  }
  EXPECT_TRUE(test::same_bits(rehearsing->parameters(), before));
}

TEST(Rehearsal, TheOuterStepsGradientsStay) {
  const auto model = test::tiny_model();
  Step step = test::make_step(*model, {"a"}, 4, 4);
  step.accumulate("a", answer_loss());
  Gradients before;
  for (const auto& [name, parameter] : model->parameters()) before.push_back(parameter.grad().clone());
  {
    Rehearsal attack(*model, OptimizerOptions());
    attack.train(step, "a", answer_loss(), 1e-2, /*clip=*/0.1);
  }
  EXPECT_EQ(test::difference(test::take_gradients(*model), before), 0);
}

TEST(Rehearsal, WeightsComeBackAlsoWhenSomethingThrows) {
  const auto model = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  Step step = test::make_step(*model, {"a"}, 4, 4);
  try {
    Rehearsal attack(*model, OptimizerOptions());
    attack.train(step, "a", answer_loss(), 1e-2);
    throw std::runtime_error("stopped");
  } catch (const std::runtime_error&) {
  }
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

}  // namespace
}  // namespace caltrop
