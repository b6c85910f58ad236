#include "caltrop/train/sensing.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

class SensingTest : public testing::Test {
 protected:
  const std::shared_ptr<Model> model = test::tiny_model();
  const std::vector<std::string> streams = {"general", "harmful", "refusals", "tasks"};
  Step step = test::make_step(*model, streams, 6, 6);
  DisplacementOptions options = [] {
    DisplacementOptions o;
    o.rates = {3e-2}, o.lengths = {4}, o.harmful_bank = 2, o.benign_bank = 1;
    return o;
  }();
};

TEST_F(SensingTest, TheFittedSensorTellsTheKeptAttacksFromRest) {
  Displacements displacements(options);
  displacements.advance(step);
  const Sensor sensor{1, fit_sensor(step, displacements, 1, {.restricted = Want::kClosed})};
  const double rest = mean_reading(step, sensor);
  for (const Rehearsed& attack : displacements.attacks()) {
    const Nudge attacked(*model, attack.moved, 1.0);
    EXPECT_GT(mean_reading(step, sensor), rest + 0.2);
  }
}

TEST_F(SensingTest, AReadingIsTheMeanOverAnswersOfTheSameRowsEachTime) {
  const Sensor sensor{0, at::ones({model->config().width})};
  const double once = mean_reading(step, sensor);
  EXPECT_EQ(once, mean_reading(step, sensor));
  double sum = 0;
  int64_t count = 0;
  for (int64_t draw = 0; draw < 4; ++draw) {
    Step rows = step.fresh(fmt::format("reading {}", draw), {"general"});
    const Tensor answers = rows.mlp_inputs("general", 0).answers;
    sum += answers.sum().item<double>(), count += answers.size(0);
  }
  EXPECT_NEAR(once, sum / static_cast<double>(count), 1e-5);
}

TEST_F(SensingTest, ProofsAreOfFreshWaysAndLeaveNoTrace) {
  const NamedTensors before = test::copy_of(model->parameters());
  const Sensor low{0, at::ones({model->config().width})}, high{1, low.direction};
  const std::vector<Json> all = prove_sensors(step, {low, high}, options, 2);
  const Json& readings = all[1];
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
  EXPECT_EQ(readings, prove_sensors(step, {high}, options, 2)[0]) << "each sees the same attacks as alone";
  EXPECT_NE(readings["harmful"], all[0]["harmful"]);
  ASSERT_EQ(readings["harmful"].size(), 2u);
  EXPECT_NE(readings["harmful"][0], readings["harmful"][1]) << "two attacks, not one twice";
  EXPECT_NE(readings["benign"][0], readings["rest"]);
  const Json& quantiles = readings["quantiles"];
  EXPECT_EQ(quantiles["rest"].size(), quantiles["at"].size());
  ASSERT_EQ(quantiles["harmful"].size(), 2u);
  const auto of = quantiles["harmful"][0].get<std::vector<double>>();
  EXPECT_TRUE(std::is_sorted(of.begin(), of.end()));
  EXPECT_LT(of.front(), readings["harmful"][0]);
  EXPECT_GT(of.back(), readings["harmful"][0]);
}

TEST_F(SensingTest, TheStreamBehindALayerIsReadBeforeAnyNorm) {
  // By hand: the median over positions with a label, on the rows that are drawn for it.
  const auto median = [&](const auto& behind) {
    const at::NoGradGuard no_grad;
    const Batch rows = pack(step.fresh("stream lengths", {"general"}).rows("general"));
    Trace trace;
    trace.keep_states = trace.keep_mlp_outputs = true;
    model->forward(rows.tokens, &trace);
    return behind(trace).index_select(0, rows.label_positions).norm(2, -1).median().template item<double>();
  };
  const auto read = [&](int64_t layer) { return read_at_rest(step, layer, {"general"}).stream_length; };
  EXPECT_NEAR(read(0), median([](const Trace& trace) { return trace.states[1]; }), 1e-5);
  const auto last = [](const Trace& trace) { return trace.states[1] + trace.mlp_outputs[1]; };
  EXPECT_NEAR(read(1), median(last), 1e-5);

  const double before = read(1);
  const at::NoGradGuard no_grad;
  model->weight("model.norm.weight").detach().mul_(100);
  EXPECT_EQ(read(1), before) << "the final norm does not come into it";
}

TEST_F(SensingTest, TheNextLayerIsReadAtEveryToken) {
  const at::NoGradGuard no_grad;
  const NextLayerAtRest next = read_next_layer(step, 0, {"general", "tasks"});
  std::vector<Tensor> attention, mlp;
  for (const char* stream : {"general", "tasks"}) {
    for (int64_t draw = 0; draw < 4; ++draw) {
      const Batch rows = pack(step.fresh(fmt::format("at rest {}", draw), {stream}).rows(stream));
      Trace trace;
      trace.keep_states = true;
      model->forward(rows.tokens, &trace);
      const Tensor x = trace.states[1];
      attention.push_back(x / (x.square().mean(-1, true) + 1e-5).sqrt() *
                          model->weight("model.layers.1.input_layernorm.weight"));
      mlp.push_back(model->mlp_input(rows.tokens, 1));
    }
  }
  EXPECT_LE(test::difference(next.attention_inputs, at::cat(attention)), 1e-5);
  // Answers come first there.
  const auto sorted = [](const Tensor& x) { return std::get<0>(x.select(1, 0).sort()); };
  EXPECT_LE(test::difference(sorted(next.mlp_inputs), sorted(at::cat(mlp))), 1e-5);
}

TEST_F(SensingTest, PromptsCanBeOpenAfterAnAttackToo) {
  Displacements displacements(options);
  displacements.advance(step);
  const auto of_prompts = [&](Want want) {
    const Sensor sensor{1, fit_sensor(step, displacements, 1, {.prompts = want})};
    const Nudge attacked(*model, displacements.attacks().front().moved, 1.0);
    return step.mlp_inputs("general", 1).prompts.matmul(sensor.direction).mean().item<double>();
  };
  EXPECT_GT(of_prompts(Want::kOpen), of_prompts(Want::kClosed) + 0.2);
}

TEST_F(SensingTest, RestrictedAnswersCanBeOpenAtRestToo) {
  Displacements displacements(options);
  displacements.advance(step);
  const auto of_restricted = [&](Want want) {
    const Sensor sensor{1, fit_sensor(step, displacements, 1, {.restricted_at_rest = want})};
    return step.mlp_inputs("harmful", 1).answers.matmul(sensor.direction).mean().item<double>();
  };
  EXPECT_GT(of_restricted(Want::kOpen), of_restricted(Want::kClosed) + 0.2);
}

TEST_F(SensingTest, SensorsComeByLayer) {
  const auto layers = [&](const std::vector<int64_t>& given) {
    std::vector<int64_t> sorted;
    for (const Sensor& sensor : sensors_at(given, *model, "w")) sorted.push_back(sensor.layer);
    return sorted;
  };
  EXPECT_EQ(layers({-1}), (std::vector<int64_t>{1})) << "two thirds of the way up";
  EXPECT_EQ(layers({1, 0}), (std::vector<int64_t>{0, 1}));
  EXPECT_USER_ERROR(layers({1, -1}), "w: two sensors in layer 1; want one a layer");
  EXPECT_USER_ERROR(layers({}), "w: option 'layers' is [], want at least one number");
  EXPECT_USER_ERROR(layers({0, 2}), "w: option 'layers' holds 2, and the model has 2");
}

TEST_F(SensingTest, WhatIsWrittenIsReadBack) {
  const Sensor sensor{1, at::randn({5})};
  const Sensor back = read_sensor(write_sensor(sensor, {{"rest", 0.0}}), "sensor.json");
  EXPECT_EQ(back.layer, 1);
  EXPECT_TRUE(at::equal(back.direction, sensor.direction));
  EXPECT_USER_ERROR(read_sensor({{"layer", 1}, {"direction", {"x"}}}, "s"),
                    "s: 'direction' holds \"x\", want numbers");
  EXPECT_USER_ERROR(read_sensor({{"layer", 1}, {"direction", Json::array()}}, "s"),
                    "s: 'direction' is empty");
  EXPECT_USER_ERROR(read_sensor({{"layer", 1}, {"direction", {1.0, -1e39}}}, "s"),
                    "s: 'direction' holds -1e+39, want numbers within fp32");
}

}  // namespace
}  // namespace caltrop
