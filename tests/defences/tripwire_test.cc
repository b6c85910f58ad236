#include <cmath>

#include "caltrop/loss/reference.h"
#include "caltrop/train/sensing.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class TripwireTest : public test::MethodTest {
 protected:
  Json options = {{"rates", {3e-2}}, {"lengths", {4}}, {"harmful_bank", 2}, {"benign_bank", 1},
                  {"layer", 1},      {"says", "A"},    {"neurons", 3},      {"proofs", 2}};
  const std::vector<std::string> streams = {"general", "harmful", "refusals", "tasks"};
};

// Streams: 1 general, 2 harmful, 3 refusals, 4 tasks.
TEST_F(TripwireTest, WithoutASensorItKeepsTheModelAndRefuses) {
  const Gradients ours = gradients("tripwire", {{"sense", 0}, {"says", "A"}});
  // The start model is the model: the KL is at its minimum and has no gradient.
  EXPECT_LE(test::difference(ours, cross_entropy(batch(3))), 1e-4);
  EXPECT_NEAR(scalar("keep_loss"), 0, 1e-5);
}

// Rows of the tiny model are all of one kind, so what can be learnt here is to tell the kept ways apart.
TEST_F(TripwireTest, TrainingOpensTheSensorAtTheKeptAttackAndClosesItAtRest) {
  options["harmful_every"] = options["benign_every"] = 1000;
  options["harmful_bank"] = 1, options["keep"] = 0, options["refuse"] = 0;
  const auto objective = make("tripwire", options);
  const auto optimizer = make_optimizer(OptimizerOptions(), model->parameters());
  double first = 0, first_rest = 0;
  for (int64_t number = 1; number <= 60; ++number) {
    Step step = test::make_step(*model, streams, 6, 6, number);
    test::take_gradients(*model);
    scalars = objective->add_gradients(step);
    if (number == 1) first = scalar("harmful"), first_rest = scalar("rest");
    optimizer->step(1e-3);
  }
  EXPECT_LT(scalar("harmful") + scalar("rest"), 0.7 * (first + first_rest));
}

TEST_F(TripwireTest, RestrictedAnswersOpenWhereThatIsWanted) {
  options["harmful_every"] = options["benign_every"] = 1000;
  options["harmful_bank"] = 1, options["keep"] = 0, options["refuse"] = 0, options["restricted"] = "open";
  const auto objective = make("tripwire", options);
  const auto optimizer = make_optimizer(OptimizerOptions(), model->parameters());
  double first = 0;
  for (int64_t number = 1; number <= 60; ++number) {
    Step step = test::make_step(*model, streams, 6, 6, number);
    test::take_gradients(*model);
    scalars = objective->add_gradients(step);
    if (number == 1) first = scalar("restricted");
    optimizer->step(1e-3);
  }
  EXPECT_LT(scalar("restricted"), 0.7 * first);
}

TEST_F(TripwireTest, TasksByNameAreStreamsOfTheirOwn) {
  options["tasks"] = {"kind", "alive"};
  const auto objective = make("tripwire", options);
  EXPECT_EQ(objective->streams(),
            (std::vector<std::string>{"general", "harmful", "refusals", "task:kind", "task:alive"}));
  for (int64_t number = 0; number < 3; ++number) {
    const Gradients taken = gradients(*objective, 6, number);
    for (const Tensor& gradient : taken) EXPECT_TRUE(at::isfinite(gradient).all().item<bool>());
  }
}

TEST_F(TripwireTest, AttacksByReinforcementAnswerPromptsOfTheirOwn) {
  options["reinforced"] = 1, options["reinforced_tokens"] = 4;
  const auto objective = make("tripwire", options),
             supervised = make("tripwire", {{"layer", 1}, {"says", "A"}});
  EXPECT_EQ(objective->streams().back(), "prompts");
  EXPECT_NE(supervised->streams().back(), "prompts");
  for (const Tensor& gradient : gradients(*objective)) EXPECT_TRUE(at::isfinite(gradient).all().item<bool>());
}

TEST_F(TripwireTest, AResumedRunHasTheSameSensorAndTheSameWays) {
  const auto whole = make("tripwire", options), resumed = make("tripwire", options);
  for (int64_t number = 0; number < 3; ++number) gradients(*whole, 6, number);
  gradients(*resumed, 6, 0);  // whatever it remembers is replaced
  resumed->load_state(whole->state());
  const Gradients a = gradients(*whole, 6, 5), b = gradients(*resumed, 6, 5);
  EXPECT_EQ(test::difference(a, b), 0);
}

TEST_F(TripwireTest, TheFinishedModelIsTheSameAtRestAndLeavesItsSensorBeside) {
  options["neurons"] = 1, options["threshold"] = 10;  // far above any reading of this untrained sensor
  const auto objective = make("tripwire", options);
  gradients(*objective);
  const at::NoGradGuard no_grad;
  const Batch rows = batch(1);
  const auto logits = [&] { return at::linear(model->forward(rows.tokens), model->head()); };
  const Tensor at_rest = logits();
  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);
  EXPECT_FALSE(test::same_bits(model->parameters(), before)) << "the charge is in the weights";
  // One idle neuron is gone, and that is all that rest may notice.
  EXPECT_LE(test::difference(logits(), at_rest), 0.05);

  const Json sensor = parse_json(objective->artifacts().at("sensor.json"), "sensor.json");
  EXPECT_EQ(sensor["layer"], 1);
  EXPECT_EQ(sensor["readings"]["harmful"].size(), 2u);
  EXPECT_EQ(sensor["readings"]["benign"].size(), 2u);
  EXPECT_EQ(read_sensor(sensor, "sensor.json").direction.size(0), model->config().width);
}

TEST_F(TripwireTest, AChargeCanBeSetBehindASensorThatExists) {
  const test::ScratchFolder folder;
  std::vector<double> direction(static_cast<size_t>(model->config().width), 0.25);
  const auto write = [&](int64_t layer) {
    return folder.write(
        "sensor.json",
        to_line({{"format", 1}, {"layer", layer}, {"readings", Json::object()}, {"direction", direction}}));
  };
  options["sensor"] = write(0).string(), options["proofs"] = 0;
  const auto objective = make("tripwire", options);
  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);  // without a step of training
  const Json sensor = parse_json(objective->artifacts().at("sensor.json"), "sensor.json");
  EXPECT_EQ(sensor["layer"], 0);
  EXPECT_EQ(sensor["direction"], Json(direction));
  EXPECT_EQ(sensor["readings"]["threshold"], 1.2) << "counted from zero where nothing else is said";
  for (size_t i = 0; i < before.size(); ++i) {
    const auto& [name, weight] = model->parameters()[i];
    const bool changed = !at::equal(weight, before[i].second);
    EXPECT_EQ(changed, name.find("layers.0.mlp.") != std::string::npos) << name;
  }
  write(5);
  EXPECT_USER_ERROR(make("tripwire", options),
                    fmt::format("tripwire: {} reads 24 numbers of layer 5, but the model has 2 layers of 24",
                                (folder / "sensor.json").string()));
}

TEST_F(TripwireTest, AThresholdCanCountFromTheHighestReadingAtRest) {
  options["threshold_from"] = "rest", options["threshold"] = 0.5, options["proofs"] = 0;
  const auto objective = make("tripwire", options);
  gradients(*objective);
  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);
  const Json readings = parse_json(objective->artifacts().at("sensor.json"), "sensor.json")["readings"];
  EXPECT_EQ(readings["threshold"].get<double>(), 0.5 + readings["highest_at_rest"].get<double>());
}

TEST_F(TripwireTest, WrongOptionsAreNamed) {
  EXPECT_USER_ERROR(make("tripwire", {{"layer", 7}, {"says", "A"}}),
                    "tripwire: option 'layer' is 7, and the model has 2");
  EXPECT_USER_ERROR(make("tripwire", {{"says", ""}}), "tripwire: option 'says' is '', which has no tokens");
}

}  // namespace
}  // namespace caltrop
