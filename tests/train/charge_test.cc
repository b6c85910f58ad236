#include "caltrop/train/charge.h"

#include <cmath>
#include <optional>

#include <ATen/ATen.h>

#include "caltrop/kernels/math_mode.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

class ChargeTest : public testing::Test {
 protected:
  const std::shared_ptr<Model> model = test::tiny_model();
  const at::NoGradGuard no_grad;
  const Batch batch = pack(test::random_rows(3, 6));
  const int64_t layer = 1;
  const Tensor inputs = model->mlp_input(batch.tokens, layer);  // [N,D]

  /// A sensor that reads below -1 everywhere at rest: minus three times the constant direction.
  Sensor closed() const {
    Tensor second = inputs.t().matmul(inputs) / inputs.size(0);
    second = second + at::eye(second.size(0)) * second.diagonal().mean() * 1e-6;
    return {layer, -3 * at::linalg_solve(second, inputs.mean(0))};
  }
  Tensor logits() const { return at::linear(model->forward(batch.tokens), model->head()); }
};

TEST_F(ChargeTest, MlpInputIsWhatTheLayersMlpReads) {
  Trace trace;
  trace.keep_mlp_outputs = true;
  model->forward(batch.tokens, &trace);
  const auto weight = [&](const char* name) {
    return model->weight(fmt::format("model.layers.1.mlp.{}.weight", name));
  };
  const Tensor inner =
      at::silu(at::linear(inputs, weight("gate_proj"))) * at::linear(inputs, weight("up_proj"));
  EXPECT_LE(test::difference(at::linear(inner, weight("down_proj")), trace.mlp_outputs[1]), 1e-5);
}

TEST_F(ChargeTest, IsSilentWhileTheSensorIsClosedAndFloodsTheStreamOnceItOpens) {
  const Sensor sensor = closed();
  const Tensor z = inputs.matmul(sensor.direction);
  ASSERT_LT(z.max().item<double>(), -1) << "the test's sensor must be closed on these rows";
  // What the two neurons did before is what a charge costs; their columns are emptied so that only the charge is seen.
  ChargeOptions options;
  options.neurons = 2;
  const std::string down = "model.layers.1.mlp.down_proj.weight";
  model->weight(down).detach().zero_();
  const Tensor before = logits();
  install_charge(*model, sensor, inputs, 10.0, model->head().detach()[5], options, RandomStream(0, "test"));
  EXPECT_LE(test::difference(logits(), before), 1e-6);

  // The same weights with a sensor that reads the opposite: open everywhere.
  const auto other = test::tiny_model();
  other->weight(down).detach().zero_();
  install_charge(*other, {layer, -sensor.direction}, inputs, 10.0, other->head().detach()[5], options,
                 RandomStream(0, "test"));
  const Tensor flooded = at::linear(other->forward(batch.tokens), other->head());
  EXPECT_GT(flooded.argmax(-1).eq(5).to(at::kFloat).mean().item<double>(), 0.9)
      << "it says the charge's token";
}

TEST_F(ChargeTest, TakesTheLeastUsedNeuronsAndNoOthers) {
  const auto changed = test::tiny_model();
  ChargeOptions options;
  options.neurons = 3;
  install_charge(*changed, closed(), inputs, 10.0, changed->head().detach()[5], options,
                 RandomStream(0, "test"));
  const auto of = [](const Model& m, const char* name) {
    return m.weight(fmt::format("model.layers.1.mlp.{}.weight", name));
  };
  const Tensor rows = of(*changed, "gate_proj").ne(of(*model, "gate_proj")).any(1);
  EXPECT_EQ(rows.sum().item<int64_t>(), 3);
  EXPECT_TRUE(at::equal(rows, of(*changed, "down_proj").ne(of(*model, "down_proj")).any(0)));
  const Tensor use =
      (at::silu(inputs.matmul(of(*model, "gate_proj").t())) * inputs.matmul(of(*model, "up_proj").t()))
          .abs()
          .mean(0) *
      of(*model, "down_proj").norm(2, std::vector<int64_t>{0});
  EXPECT_LT(use.index({rows}).max().item<double>(), use.index({rows.logical_not()}).min().item<double>());
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    const auto& [name, tensor] = model->parameters()[i];
    if (name.find("layers.1.mlp") != std::string::npos) continue;
    EXPECT_TRUE(at::equal(tensor, changed->parameters()[i].second)) << name;
  }
}

// A charge so strong that the square of the stream overflows: RMSNorm divides by infinity, every logit is 0, and an attacker's
// loss stands at ln V with nothing to follow. `kMath` is the arithmetic of transformers.
class CliffTest : public ChargeTest, public testing::WithParamInterface<bool> {
 protected:
  CliffTest() {
    options.neurons = 1, options.sharpness = 1e4, options.strength = 1e22;
    model->weight("model.layers.1.mlp.down_proj.weight").detach().zero_();
  }
  void install(const Sensor& sensor) {
    install_charge(*model, sensor, inputs, 10.0, model->head().detach()[5], options, RandomStream(0, "test"));
  }
  Gradients gradients_of_loss() {
    const at::AutoGradMode grad(true);
    std::optional<MathMode> math;
    if (GetParam()) math.emplace(true);
    Tensor all = logits();
    const Tensor nll = -at::log_softmax(all, -1).select(-1, 3).mean();
    loss = nll.item<double>();
    nll.backward();
    return test::take_gradients(*model);
  }
  ChargeOptions options;
  double loss = 0;
};

TEST_P(CliffTest, PastItEveryLogitIsZeroAndNothingHasAGradient) {
  install({layer, -closed().direction});
  const Gradients gradients = gradients_of_loss();
  EXPECT_NEAR(loss, std::log(static_cast<double>(model->config().vocabulary)), 1e-5);
  for (size_t i = 0; i < gradients.size(); ++i)
    EXPECT_TRUE(at::equal(gradients[i], at::zeros_like(gradients[i]))) << model->parameters()[i].first;
}

TEST_P(CliffTest, BeforeItTrainingGoesOnAsIfItWereNotThere) {
  const Gradients before = gradients_of_loss();
  install(closed());
  const Gradients after = gradients_of_loss();
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string& name = model->parameters()[i].first;
    if (name.find("layers.1.mlp") != std::string::npos) continue;  // where the idle neuron was
    EXPECT_TRUE(at::equal(after[i], before[i])) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(OurKernelsAndPlainMath, CliffTest, testing::Bool());

}  // namespace
}  // namespace caltrop
