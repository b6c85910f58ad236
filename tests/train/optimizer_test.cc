#include "caltrop/train/optimizer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/json.h"
#include "tests/support/support.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

/// The gradient of tools/make_optimizer_baselines.py.
Tensor gradient(int64_t step) {
  return at::sin(at::arange(7, at::kFloat) * 0.7 + step * 1.3) * (1 + 0.1 * static_cast<double>(step));
}

void expect_baseline(const OptimizerOptions& options) {
  const Json expected = read_json(test::data_file("train/optimizer.json"))[options.optimizer];
  const Tensor weight = at::linspace(-1, 1, 7).requires_grad_(true);
  const auto optimizer = make_optimizer(options, {{"w", weight}});
  for (int64_t step = 0; step < 5; ++step) {
    weight.mutable_grad() = gradient(step);
    optimizer->step(0.01);
    for (int64_t i = 0; i < 7; ++i) {
      EXPECT_NEAR(weight[i].item<double>(),
                  expected[static_cast<size_t>(step)][static_cast<size_t>(i)].get<double>(), 2e-6)
          << options.optimizer << " step " << step;
    }
  }
}

TEST(Optimizer, AdamWEqualsTorch) {
  OptimizerOptions options;
  options.beta2 = 0.95;
  options.weight_decay = 0.1;
  expect_baseline(options);
}

TEST(Optimizer, SgdEqualsTorch) {
  OptimizerOptions options;
  options.optimizer = "sgd";
  expect_baseline(options);
}

// A model that computes in bf16 keeps casts of its masters, and must notice that they have moved.
TEST(Optimizer, AStepIsSeenByAModelThatComputesInBfloat) {
  for (const char* name : {"adamw", "sgd"}) {
    const auto fp32 = test::tiny_model();
    const Model model(fp32->config(), fp32->parameters(), at::kBFloat16);
    OptimizerOptions options;
    options.optimizer = name;
    const auto optimizer = make_optimizer(options, model.parameters());
    for (const auto& [parameter, master] : model.parameters()) {
      model.weight(parameter);
      master.mutable_grad() = at::ones_like(master);
    }
    optimizer->step(0.1);
    for (const auto& [parameter, master] : model.parameters())
      EXPECT_TRUE(at::equal(model.weight(parameter), master.to(at::kBFloat16))) << name << " " << parameter;
  }
}

// With the model it writes the casts itself: those that there are, of parameters that have a gradient.
TEST(Optimizer, AdamWWritesTheCastsOfItsModel) {
  const auto fp32 = test::tiny_model();
  const Model model(fp32->config(), fp32->parameters(), at::kBFloat16);
  const auto optimizer = make_optimizer({}, model.parameters(), &model);
  const size_t without_gradient = 1, without_cast = 2, changed_since = 3;
  const auto master = [&](size_t i) { return model.parameters()[i].second; };
  std::vector<const void*> places;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    if (i != without_cast) model.weight(model.parameters()[i].first);
    places.push_back(i != without_cast ? model.cast(i).const_data_ptr() : nullptr);
    if (i != without_gradient) master(i).mutable_grad() = at::ones_like(master(i));
  }
  const at::NoGradGuard no_grad;
  master(changed_since).add_(1.0), master(without_gradient).add_(1.0);
  optimizer->step(0.1);
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const Tensor weight = model.weight(model.parameters()[i].first);
    EXPECT_TRUE(at::equal(weight, master(i).to(at::kBFloat16))) << model.parameters()[i].first;
    if (i != without_cast && i != without_gradient) {
      EXPECT_EQ(weight.const_data_ptr(), places[i]) << "cast anew";
    }
  }
}

TEST(Optimizer, AGraphThatHoldsACastDoesNotGoOnWithTheNextOne) {
  const auto fp32 = test::tiny_model();
  const Model model(fp32->config(), fp32->parameters(), at::kBFloat16);
  const auto optimizer = make_optimizer({}, model.parameters(), &model);
  const Tensor loss = model.weight(model.parameters()[0].first).square().sum();
  model.parameters()[0].second.mutable_grad() = at::ones_like(model.parameters()[0].second);
  optimizer->step(0.1);
  EXPECT_THROW(torch::autograd::backward({loss}, {}), c10::Error);
}

TEST(Optimizer, MeansThatNeverMoveAreRefused) {
  OptimizerOptions options;
  EXPECT_USER_ERROR(read_options(options, {{"beta1", 1}}, "train"),
                    "train: option 'beta1' is 1, want 0 to 0.999999");
  EXPECT_USER_ERROR(read_options(options, {{"beta2", 1.0}}, "train"),
                    "train: option 'beta2' is 1.0, want 0 to 0.999999");
  read_options(options, {{"beta1", 0.0}, {"beta2", 0.9999}}, "train");
  EXPECT_EQ(options.beta2, 0.9999);
}

TEST(Optimizer, StateIsKeyedByName) {
  const Tensor weight = at::zeros({2}).requires_grad_(true);
  const NamedTensors state = make_optimizer({}, {{"layer.weight", weight}})->state();
  EXPECT_EQ(state[0].first, "exp_avg.layer.weight");
  EXPECT_EQ(state[1].first, "exp_avg_sq.layer.weight");
}

}  // namespace
}  // namespace caltrop
