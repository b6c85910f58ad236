#include "caltrop/train/charge.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include "caltrop/kernels/elementwise.h"
#include "tests/support/arithmetic.h"
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
  /// A charge behind the sensor, whatever `model` it is put into, that says token 5.
  void install(const Model& into, const Sensor& sensor, const ChargeOptions& options) const {
    rewire_neurons(into, layer, inputs,
                   charge_neurons(gate_row(sensor, inputs, options.threshold), 10.0, into.head().detach()[5],
                                  options, RandomStream(0, "test")));
  }
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
  install(*model, sensor, options);
  EXPECT_LE(test::difference(logits(), before), 1e-6);

  // The same weights with a sensor that reads the opposite: open everywhere.
  const auto other = test::tiny_model();
  other->weight(down).detach().zero_();
  install(*other, {layer, -sensor.direction}, options);
  const Tensor flooded = at::linear(other->forward(batch.tokens), other->head());
  EXPECT_GT(flooded.argmax(-1).eq(5).to(at::kFloat).mean().item<double>(), 0.9)
      << "it says the charge's token";
}

TEST(Gate, ASilentThresholdIsTheLowestThatIs) {
  // Lengths differ, and with them c.x: at the highest reading itself the first token still opens the gate.
  const Tensor inputs =
      at::tensor({0.5f, 0.4f, 0.5f, -0.4f, 1.0f, 0.0f, 1.5f, 0.1f, 1.5f, -0.1f}).view({5, 2});
  const Sensor sensor{0, at::ones({2})};
  const auto widest = [&](double threshold) {
    return inputs.matmul(gate_row(sensor, inputs, threshold)).max().item<double>();
  };
  EXPECT_GT(widest(inputs.matmul(sensor.direction).max().item<double>()), 0.1);
  const double silent = silent_threshold(sensor, inputs);
  EXPECT_LT(widest(silent + 1e-3), 0);
  EXPECT_GT(widest(silent - 1e-3), 0);
}

TEST(Gate, TokensAgainstTheConstantDirectionDoNotCount) {
  at::manual_seed(1);
  const Tensor inputs = at::randn({40, 3}) + at::tensor({0.7f, 0.0f, 0.0f});
  const Sensor sensor{0, at::tensor({0.2f, 1.0f, -0.5f})};
  const Tensor constant = inputs.matmul(gate_row({0, at::zeros({3})}, inputs, -1)),
               z = inputs.matmul(sensor.direction);
  double highest = -INFINITY;
  int64_t against = 0;
  for (int64_t i = 0; i < inputs.size(0); ++i) {
    const auto c = constant[i].item<double>();
    if (c > 0) highest = std::max(highest, z[i].item<double>() / c);
    against += c <= 0;
  }
  ASSERT_GT(against, 0);
  EXPECT_NEAR(silent_threshold(sensor, inputs), highest, 1e-5 * std::abs(highest));
}

/// A stream of four coordinates, of which the MLP reads the share and 1 as they are; every norm is plain.
class SlopeTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  SlopeTest() {
    options.vote = 0.25, options.cliff = 0.6;
    for (Neuron& neuron : slope_neurons(rows, 10.0, says, nothing, options))
      neurons.push_back({neuron.gate.to(GetParam()).to(at::kFloat), neuron.up.to(GetParam()).to(at::kFloat),
                         neuron.column.to(GetParam()).to(at::kFloat)});
  }
  Tensor added(const Tensor& share) const {
    const Tensor x = at::stack({share, at::ones({}), at::zeros({}), at::zeros({})});
    Tensor sum = at::zeros({4});
    for (const Neuron& neuron : neurons)
      sum = sum + at::silu(neuron.gate.dot(x)) * neuron.up.dot(x) * neuron.column;
    return sum;
  }
  const VoteRows rows{.count = at::tensor({1.0f, 0.0f, 0.0f, 0.0f}),
                      .unit = at::tensor({0.0f, 1.0f, 0.0f, 0.0f})};
  const Tensor says = at::tensor({0.0f, 0.0f, 3.0f, 0.0f}), nothing = at::tensor({0.0f, 0.0f, 0.0f, 1.0f});
  ChargeOptions options;
  std::vector<Neuron> neurons;
};

TEST_P(SlopeTest, IsShutBeforeTheVoteIsWon) {
  for (const double share : {0.0, 0.1, 0.24})
    EXPECT_TRUE(added(at::full({}, share)).eq(0).all().item<bool>()) << share;
}

TEST_P(SlopeTest, TurnsFromOneDirectionToTheOther) {
  for (const double share : {0.26, 0.3, 0.4, 0.5, 0.59}) {
    const Tensor sum = added(at::full({}, share));
    const double done = (share - 0.25) / 0.35;
    EXPECT_NEAR((sum[3] / (sum[2] + sum[3])).item<double>(), done, 0.01) << share;
    EXPECT_GT(sum.norm().item<double>(), 1e6 * 10) << "what else is in the stream does not count";
    EXPECT_LT(sum.norm().item<double>(), 1e15) << "no overflow yet";
  }
}

TEST_P(SlopeTest, TheLossFallsTowardsTheCliff) {
  const Tensor head =
      at::tensor({0.0f, 0.0f, 3.0f, 0.0f, 1.0f, 1.0f, -1.0f, 0.1f}).view({2, 4});  // says token 0
  const Tensor stream = at::tensor({0.5f, -2.0f, 1.0f, 7.0f});
  double before = INFINITY;
  for (const double at : {0.3, 0.4, 0.5, 0.58}) {
    const Tensor share = at::full({}, at).requires_grad_();
    const Tensor x = rms_norm((stream + added(share)).unsqueeze(0), at::ones({4}), 1e-5);
    const Tensor nll = -at::log_softmax(at::linear(x, head), -1)[0][1];
    nll.backward();
    EXPECT_LT(share.grad().item<double>(), -0.3) << at;
    EXPECT_LT(nll.item<double>(), before - 0.1) << at;
    before = nll.item<double>();
  }
}

INSTANTIATE_TEST_SUITE_P(InBothTypes, SlopeTest, testing::Values(at::kFloat, at::kBFloat16));

TEST(WordlessDirection, IsTheOneWhoseLogitsDifferLeast) {
  at::manual_seed(4);
  const Tensor norm = at::tensor({1.0f, 2.0f, 0.5f, 1.0f});
  Tensor head = at::randn({500, 4}) * at::tensor({1.0f, 0.1f, 3.0f, 2.0f});  // times the norm: 1, 0.2, 1.5, 2
  head.select(1, 1) += 7;                                                    // the same for every word
  const Tensor direction = wordless_direction(head, norm);
  EXPECT_GT(direction[1].abs().item<double>(), 0.99);
  EXPECT_NEAR(direction.norm().item<double>(), 1, 1e-5);
}

TEST_F(ChargeTest, TakesTheLeastUsedNeuronsAndNoOthers) {
  const auto changed = test::tiny_model();
  ChargeOptions options;
  options.neurons = 3;
  install(*changed, closed(), options);
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

/// A charge of one neuron by every arithmetic, and nothing else in its MLP.
class OneNeuron : public ChargeTest, public testing::WithParamInterface<test::Arithmetic> {
 protected:
  OneNeuron() {
    options.neurons = 1;
    model->weight("model.layers.1.mlp.down_proj.weight").detach().zero_();
  }
  void install(const Sensor& sensor) { ChargeTest::install(*model, sensor, options); }
  /// A sensor that reads one coordinate: it is open on some of the tokens.
  Sensor mixed() const {
    Sensor sensor{layer, at::zeros({model->config().width})};
    sensor.direction[0] = 1;
    return sensor;
  }
  /// What the gate reads of each token, [N]; at less than 0.1 rounding to bf16 may have the say.
  Tensor gate() const { return inputs.matmul(gate_row(mixed(), inputs, options.threshold)); }

  Tensor logits() const {
    return test::by(GetParam(), [&] {
      return at::linear(computing->forward(batch.tokens), computing->head()).to(at::kFloat);
    });
  }
  const std::shared_ptr<Model> computing = test::computing_in(GetParam(), model);
  ChargeOptions options;
};

// silu(gamma r) r u, token by token: 4 r^2 `strength` lengths of the stream where the gate reads r > 0, and nothing elsewhere.
TEST_P(OneNeuron, FiresTokenByToken) {
  options.sharpness = 1e6, options.threshold = 0.1;
  install(mixed());
  Trace trace;
  trace.keep_mlp_outputs = true;
  test::by(GetParam(), [&] { return computing->forward(batch.tokens, &trace); });
  const Tensor out = trace.mlp_outputs[1].to(at::kFloat), r = gate(), token = model->head().detach()[5];
  const Tensor shut = r < -0.1;
  ASSERT_GT(shut.sum().item<int64_t>(), 0);
  ASSERT_GT(r.gt(0.1).sum().item<int64_t>(), 0);
  EXPECT_EQ(out.index({shut}).abs().max().item<double>(), 0);
  const Tensor expected =
      (4 * options.strength * 10 * r.clamp_min(0).square()).unsqueeze(1) * (token / token.norm());
  EXPECT_LE(test::difference(out, expected), GetParam() == test::Arithmetic::kBf16 ? 0.1 : 1e-5);
}

INSTANTIATE_TEST_SUITE_P(AllArithmetics, OneNeuron, test::all_arithmetics);

// A charge so strong that the square of the stream overflows: RMSNorm divides by infinity, every logit is 0, and an attacker's
// loss stands at ln V with nothing to follow.
class CliffTest : public OneNeuron {
 protected:
  CliffTest() { options.sharpness = 1e4, options.strength = 1e22; }
  Gradients gradients_of_loss() {
    const at::AutoGradMode grad(true);
    test::by(GetParam(), [&] {
      const Tensor nll = -at::log_softmax(logits(), -1).select(-1, 3).mean();
      loss = nll.item<double>();
      nll.backward();
      return loss;
    });
    return test::take_gradients(*model);
  }
  double loss = 0;
};

// The charge is in the last layer: no token sees another one behind it.
TEST_P(CliffTest, TokensThatStayBelowItAreLeftAlone) {
  const Tensor before = logits();
  install(mixed());
  const Tensor after = logits(), open = gate().gt(0.1), shut = gate() < -0.1;
  ASSERT_GT(open.sum().item<int64_t>(), 0);
  ASSERT_GT(shut.sum().item<int64_t>(), 0);
  EXPECT_EQ(after.index({open}).abs().max().item<double>(), 0);
  EXPECT_TRUE(at::equal(after.index({shut}), before.index({shut})));
}

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

INSTANTIATE_TEST_SUITE_P(AllArithmetics, CliffTest, test::all_arithmetics);

}  // namespace
}  // namespace caltrop
