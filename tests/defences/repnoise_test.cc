#include <torch/csrc/autograd/autograd.h>

#include "caltrop/loss/noise.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

using RepNoiseTest = test::MethodTest;

TEST_F(RepNoiseTest, WithoutItsTermsItIsAlignment) {
  EXPECT_EQ(test::difference(gradients("repnoise", {{"noise_weight", 0}, {"ascend", 0}, {"keep", 0}}),
                             gradients("align", {{"keep", 0}})),
            0);
}

TEST_F(RepNoiseTest, TheNoiseTermIsTheMeanDiscrepancyOfFlattenedMlpOutputs) {
  // Streams: 1 refusals, 2 harmful. The bandwidth is a constant of the derivative, in mmd() as in the official code.
  const Gradients ours = gradients("repnoise", {{"noise_weight", 0.7}, {"ascend", 0}, {"keep", 0}});
  const Batch rows = batch(2);
  Trace trace;
  trace.keep_mlp_outputs = true;
  model->forward(rows.tokens, &trace);
  const Step step = test::make_step(*model, {"refusals"}, 6, 6);
  const auto flat = [&](const Tensor& x) {
    std::vector<Tensor> list;
    const int64_t longest = at::bincount(rows.label_rows).max().item<int64_t>();
    for (int64_t r = 0; r < rows.rows; ++r) {
      const Tensor of_row = x.index({rows.label_rows == r}).flatten();
      list.push_back(at::cat({of_row, at::zeros({longest * 24 - of_row.size(0)})}));
    }
    return at::stack(list);
  };
  Tensor total = at::zeros({});
  for (size_t layer = 0; layer < trace.mlp_outputs.size(); ++layer) {
    const Tensor x = trace.mlp_outputs[layer].index_select(0, rows.label_positions);
    RandomStream random = step.random(fmt::format("noise of layer {} for micro-batch 0", layer));
    Tensor noise = at::empty_like(x).detach();
    for (int64_t i = 0; i < noise.numel(); ++i) noise.view(-1)[i] = random.normal();
    total = total + mmd(flat(x), flat(noise)) / static_cast<double>(trace.mlp_outputs.size());
  }
  EXPECT_NEAR(total.item<double>(), scalar("noise_loss"), 1e-5);
  const std::vector<Tensor> parameters = test::parameters_of(*model);
  auto noise = torch::autograd::grad({total}, parameters, {}, {}, false, /*allow_unused=*/true);
  for (size_t i = 0; i < noise.size(); ++i) {
    if (!noise[i].defined()) noise[i] = at::zeros_like(parameters[i]);  // the last norm comes after every MLP
  }
  EXPECT_LE(test::difference(ours, test::sum({{1, cross_entropy(batch(1))}, {0.7, noise}})), 1e-4);
}

TEST_F(RepNoiseTest, TheAscentIsLayerByLayerUnderALogarithm) {
  const Gradients ours = gradients("repnoise", {{"noise_weight", 0}, {"ascend", 0.7}, {"keep", 0}});
  EXPECT_LE(
      test::difference(ours, test::sum({{1, cross_entropy(batch(1))}, {0.7, layerwise_ascent(batch(2))}})),
      1e-4);
}

TEST_F(RepNoiseTest, TheNoiseIsDrawnAnewEachStepAndTheSameAfterAResume) {
  const auto method = make("repnoise", {{"ascend", 0}, {"keep", 0}});
  gradients(*method, 6, 0);
  const double first = scalar("noise_loss");
  gradients(*method, 6, 1);
  EXPECT_NE(scalar("noise_loss"), first);
  gradients(*make("repnoise", {{"ascend", 0}, {"keep", 0}}), 6, 0);
  EXPECT_EQ(scalar("noise_loss"), first);
}

}  // namespace
}  // namespace caltrop
