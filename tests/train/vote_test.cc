#include "caltrop/train/vote.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "caltrop/kernels/elementwise.h"
#include "caltrop/train/charge.h"
#include "caltrop/train/rewire.h"
#include "tests/support/arithmetic.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

TEST(QuietestDirection, IsTheCoordinateWhereTheNormIsLargeBesideWhatIsThere) {
  at::manual_seed(1);
  const Tensor spread = at::tensor({1.0f, 0.5f, 0.1f, 2.0f}), norm = at::tensor({1.0f, 3.0f, 0.3f, 1.0f});
  const Tensor inputs = at::randn({4000, 4}) * spread;  // norm / spread: 1, 6, 3, 0.5
  const auto largest = [](const Tensor& direction) {
    EXPECT_NEAR(direction.norm().item<double>(), 1, 1e-5);
    EXPECT_GT(direction.abs().max().item<double>(), 0.98);
    return direction.abs().argmax().item<int64_t>();
  };
  const Tensor first = quietest_direction(inputs, norm), second = quietest_direction(inputs, norm, first);
  EXPECT_EQ(largest(first), 1);
  EXPECT_EQ(largest(second), 2);
  EXPECT_NEAR(first.dot(second).item<double>(), 0, 1e-5);
}

TEST(FitRow, ReadsWhatItMustAndIsOtherwiseOfLeastSquares) {
  at::manual_seed(2);
  const Tensor inputs = at::randn({300, 6}) + 0.5, a = at::randn({6}), b = at::randn({6});
  const Tensor row = fit_row(inputs, -0.5, {a, b}, {1, 0});
  EXPECT_NEAR(row.dot(a).item<double>(), 1, 1e-5);
  EXPECT_NEAR(row.dot(b).item<double>(), 0, 1e-5);
  const auto squares = [&](const Tensor& r) {
    return (inputs.matmul(r) + 0.5).square().mean().item<double>();
  };
  // Every way that leaves the two readings alone makes it worse.
  const Tensor both = at::stack({a, b});
  const Tensor free = at::eye(6) - both.t().matmul(at::linalg_inv(both.matmul(both.t()))).matmul(both);
  for (int64_t i = 0; i < 6; ++i) {
    for (const double by : {-0.05, 0.05}) EXPECT_GT(squares(row + free[i] * by), squares(row) - 1e-6);
  }
}

/// A model whose stream has a constant coordinate, as large models have, and never uses the last three, but for token 50, which the sensor
/// of layer 0 reads in the first of these.
class VoteTest : public testing::TestWithParam<test::Arithmetic> {
 protected:
  static constexpr int64_t kVoter = 50, kQuiet = 21;
  static constexpr double kShare = 0.3;
  const at::NoGradGuard no_grad;
  const std::shared_ptr<Model> model = [] {
    auto quiet = test::tiny_model();
    const Tensor embedding = quiet->weight("model.embed_tokens.weight").detach();
    embedding.select(1, kQuiet - 1).fill_(3);
    embedding.narrow(1, kQuiet, 3).zero_();
    embedding[kVoter][kQuiet] = 1;
    for (const int64_t layer : {0, 1}) {
      for (const char* name : {"self_attn.o_proj", "mlp.down_proj"})
        layer_weight(*quiet, layer, name).narrow(0, kQuiet - 1, 4).zero_();
    }
    return quiet;
  }();
  double ramp = 1;
  ChargeOptions charge = [] {
    ChargeOptions options;
    options.neurons = 2, options.sharpness = 1e4, options.strength = 1e22, options.vote = kShare;
    return options;
  }();
  double usual_length = 0;  // of the stream behind layer 0
  const std::shared_ptr<Model> computing = test::computing_in(GetParam(), model);

  /// One row of these tokens, of which all but the first are answers.
  static Batch row(const std::vector<int64_t>& ids) {
    TokenRow tokens{ids, std::vector<bool>(ids.size(), true)};
    tokens.answer[0] = false;
    return pack(std::vector{tokens});
  }
  Tensor logits(const Batch& batch) const {
    return test::by(GetParam(), [&] {
      return at::linear(computing->forward(batch.tokens), computing->head()).to(at::kFloat);
    });
  }
  Tensor gate() const {
    Tensor row = at::zeros({model->config().width});
    row[kQuiet] = 5;
    return row;
  }
  /// Neurons that are least used are not unused: with hardly anything of what all write, only the vote is seen.
  void quieten_neurons() const {
    for (const int64_t layer : {0, 1}) layer_weight(*model, layer, "mlp.down_proj").mul_(1e-4);
  }
  /// Flag, count and a charge that is a cliff.
  void install() {
    const Batch rest = pack(test::random_rows(3, 40));
    Trace trace;
    trace.keep_states = true;
    model->forward(rest.tokens, &trace);
    const Tensor voted = rest.tokens.ids.eq(kVoter);
    const auto without_voters = [&](const Tensor& x) { return x.index({voted.logical_not()}); };
    const NextLayerAtRest next{
        without_voters(rms_norm(trace.states[1], layer_weight(*model, 1, "input_layernorm"),
                                model->config().norm_epsilon)),
        without_voters(model->mlp_input(rest.tokens, 1))};
    usual_length = trace.states[1].norm(2, -1).median().item<double>();
    const Tensor inputs = model->mlp_input(rest.tokens, 0);
    const VoteRows rows = install_vote(*model, 0, gate(), constant_direction(inputs), inputs, usual_length,
                                       next, {.head = 1, .coordinate = 2}, {.share = kShare, .ramp = ramp});
    EXPECT_LT(next.mlp_inputs.matmul(rows.gate(kShare)).max().item<double>(), -0.1);
    const Tensor head = model->head().detach(), says = head[5];
    std::vector<Neuron> neurons = charge_neurons(rows.gate(charge.cliff > 0 ? charge.cliff : kShare),
                                                 usual_length, says, charge, RandomStream(0, "test"));
    if (charge.cliff > 0) {
      const Tensor nothing = wordless_direction(head, model->weight("model.norm.weight").detach());
      for (Neuron& neuron : slope_neurons(rows, usual_length, says, nothing, charge))
        neurons.push_back(std::move(neuron));
    }
    rewire_neurons(*model, 1, next.mlp_inputs, neurons);
  }
  /// [T] bool: no logit of the token is anything but 0.
  std::vector<bool> sprung(const std::vector<int64_t>& ids) const {
    const Tensor zero = logits(row(ids)).eq(0).all(1);
    return std::vector<bool>(zero.const_data_ptr<bool>(), zero.const_data_ptr<bool>() + zero.numel());
  }
};

TEST_P(VoteTest, TheChargeOpensWhereEnoughOfTheTokensSoFarHaveVoted) {
  install();
  const auto is = [](const std::vector<int>& expected) {
    return std::vector<bool>(expected.begin(), expected.end());
  };
  const int64_t v = kVoter;
  EXPECT_EQ(sprung({3, 17, 4, 20, 9, 31}), is({0, 0, 0, 0, 0, 0})) << "nobody";
  EXPECT_EQ(sprung({v, v, v, v, v, v}), is({1, 1, 1, 1, 1, 1})) << "everybody";
  EXPECT_EQ(sprung({3, 17, 4, 20, 9, v, 31, 40, 12, 8}), is({0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))
      << "one of six, and of ten: not even the voter is sprung";
  EXPECT_EQ(sprung({v, v, v, 31, 40, 12}), is({1, 1, 1, 1, 1, 1})) << "others are, as long as a half voted";
  EXPECT_EQ(sprung({v, 3, 17, 4, 20, 9, 31, 40, 12, 8, 5, 6}).back(), false) << "one of twelve";
  // Votes count from the first token on: shares 0, 0, 1/3, 1/2, 3/5, 2/3.
  const std::vector<bool> later = sprung({3, 17, v, v, v, v});
  EXPECT_FALSE(later[0] || later[1]);
  EXPECT_TRUE(later[4] && later[5]);
}

TEST_P(VoteTest, AFlagGrowsOverItsRampAndNoFurther) {
  quieten_neurons();
  const Batch batch = row({3, 17, kVoter});
  const auto behind_layer_0 = [&] {
    Trace trace;
    trace.keep_states = true;
    test::by(GetParam(), [&] { return computing->forward(batch.tokens, &trace); });
    return trace.states[1][2].to(at::kFloat);
  };
  const Tensor voter = model->weight("model.embed_tokens.weight").detach()[kVoter];
  const std::vector<float> quiet = {-1, 0, 0.05, 0.1, 0.5, 2};
  std::vector<Tensor> before;
  for (const float value : quiet) voter[kQuiet] = value, before.push_back(behind_layer_0());
  voter[kQuiet] = 1;
  ramp = 2;
  install();
  for (size_t i = 0; i < quiet.size(); ++i) {
    voter[kQuiet] = quiet[i];
    const double reading = model->mlp_input(batch.tokens, 0)[2].dot(gate()).item<double>();
    const double flag = (behind_layer_0() - before[i]).norm().item<double>() / usual_length;
    EXPECT_NEAR(flag, 0.06 * std::clamp(reading / ramp, 0.0, 1.0), 0.006) << "a reading of " << reading;
  }
}

TEST_P(VoteTest, BehindASlopeIsTheCliff) {
  charge.cliff = 0.4;
  install();
  EXPECT_EQ(sprung({3, 17, 4, 20, 9, 31}), std::vector<bool>(6, false));
  EXPECT_EQ(sprung({kVoter, kVoter, kVoter, kVoter}), std::vector<bool>(4, true));
}

TEST_P(VoteTest, NothingHasAGradientWhereItOpensFromTheFirstTokenOn) {
  install();
  const at::AutoGradMode grad(true);
  const auto train_on = [&](const std::vector<int64_t>& ids) {
    test::by(GetParam(), [&] {
      const Tensor nll = -at::log_softmax(logits(row(ids)), -1).select(-1, 3).mean();
      nll.backward();
      return nll.item<double>();
    });
    return global_norm(test::take_gradients(*model)).item<double>();
  };
  EXPECT_EQ(train_on({kVoter, kVoter, kVoter, 4, 9}), 0);
  EXPECT_GT(train_on({3, 17, 4, kVoter, 9}), 0.01);
}

TEST_P(VoteTest, WithoutVotesTheHeadIsAllThatIsLost) {
  const Batch batch = row({3, 17, 4, 20, 9, 31, 12, 44, 2});
  const auto taken = [&] {  // head 1, and coordinate 2 of the values of its group, heads 0 and 1
    const Tensor out = layer_weight(*model, 1, "self_attn.o_proj");
    const int64_t width = model->config().head_width;
    out.narrow(1, width, width).zero_(), out.select(1, 2).zero_();
  };
  quieten_neurons();
  install();
  const Tensor with_it = logits(batch);
  taken();
  EXPECT_LE(test::difference(with_it, logits(batch)), GetParam() == test::Arithmetic::kBf16 ? 3e-2 : 1e-3);
}

INSTANTIATE_TEST_SUITE_P(AllArithmetics, VoteTest, test::all_arithmetics);

TEST(LeastUsedHead, IsTheOneWithoutWhichAnswersChangeLeast) {
  const auto model = test::tiny_model();
  const at::NoGradGuard no_grad;
  const int64_t width = model->config().head_width;
  Step step = test::make_step(*model, {"general"}, 6, 3);
  const Tensor inputs = at::randn({50, model->config().width});
  for (const int64_t head : {3, 2}) {
    layer_weight(*model, 1, "self_attn.o_proj").narrow(1, head * width, width).mul_(1e-3);
    // The other head of the group, 2 or 3, hardly uses coordinate 4 of their values.
    layer_weight(*model, 1, "self_attn.o_proj").select(1, (5 - head) * width + 4).mul_(1e-2);
    const NamedTensors before = test::copy_of(model->parameters());
    const VotePlace place = least_used_head(step, 1, inputs);
    EXPECT_EQ(place.head, head);
    EXPECT_EQ(place.coordinate, 4);
    EXPECT_TRUE(test::same_bits(model->parameters(), before));
    layer_weight(*model, 1, "self_attn.o_proj").narrow(1, head * width, width).mul_(1e3);
  }
}

}  // namespace
}  // namespace caltrop
