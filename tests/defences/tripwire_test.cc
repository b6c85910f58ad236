#include <cmath>

#include "caltrop/loss/reference.h"
#include "caltrop/train/charge.h"
#include "caltrop/train/saved_weights.h"
#include "caltrop/train/sensing.h"
#include "caltrop/train/token_option.h"
#include "caltrop/train/trainer.h"
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class TripwireTest : public test::MethodTest {
 protected:
  Json options = {{"preset", "per_token"}, {"rates", {3e-2}},  {"lengths", {4}},
                  {"harmful_bank", 2},     {"benign_bank", 1}, {"layers", {1}},
                  {"says", "A"},           {"neurons", 3},     {"proofs", 2}};
  const std::vector<std::string> streams = {"general", "harmful", "refusals", "tasks"};

  /// The first sensor's, which must be there.
  static Tensor direction(const NamedTensors& state) {
    for (const auto& [name, tensor] : state) {
      if (name == "direction.0") return tensor;
    }
    throw std::logic_error("no sensor has a direction yet");
  }
  /// Mean readings on fresh general answers by the sensor that the objective has: at rest, and after its oldest kept attack.
  struct Readings {
    double rest, attack;
  };
  Readings readings(const Objective& objective) const {
    const NamedTensors state = objective.state();
    const Sensor sensor{1, direction(state)};
    Gradients attack;
    for (const auto& [name, tensor] : state) {
      if (name.starts_with("attack.0.")) attack.push_back(tensor);
    }
    Step step = test::make_step(*model, streams, 6, 6, 61);
    const double rest = mean_reading(step, sensor);
    const Nudge there(*model, attack, 1.0);
    return {rest, mean_reading(step, sensor)};
  }
  /// Of all parameters, zeros where `loss` does not reach.
  Gradients gradient(const Tensor& loss) const {
    Gradients all = torch::autograd::grad({loss}, test::parameters_of(*model), {}, {}, false, true);
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i].defined()) all[i] = at::zeros_like(before[i].second);
    }
    return all;
  }
  /// How far the reading by `w` in layer 1 is from closed, by hand: of each token, and its mean square.
  Tensor distance_from_closed(uint64_t stream, const Tensor& w) const {
    return (model->mlp_input(batch(stream).tokens, 1).matmul(w) + 1).clamp_min(0);
  }
  Tensor from_closed(uint64_t stream, const Tensor& w) const {
    return distance_from_closed(stream, w).square().mean();
  }
  /// What is rehearsed with `options`.
  static DisplacementOptions rehearsals() {
    DisplacementOptions plan;
    plan.rates = {3e-2}, plan.lengths = {4}, plan.benign_lengths = {6, 12, 24, 48};
    plan.harmful_shares = {1, 1, 0.5}, plan.harmful_bank = 2, plan.benign_bank = 1;
    return plan;
  }
  /// The neurons of layer 1 that are not what they were.
  Tensor taken() const {
    const std::string name = "model.layers.1.mlp.gate_proj.weight";
    for (const auto& [known, weight] : before) {
      if (known == name) return model->weight(name).detach().ne(weight).any(1).nonzero().squeeze(1);
    }
    throw std::logic_error("no parameter " + name);
  }
};

// Streams: 1 general, 2 harmful, 3 refusals, 4 tasks.
TEST_F(TripwireTest, WithoutASensorItKeepsTheModelAndRefuses) {
  const Gradients ours = gradients("tripwire", {{"sense", 0}, {"layers", {0}}, {"says", "A"}});
  // The start model is the model: the KL is at its minimum and has no gradient.
  EXPECT_LE(test::difference(ours, cross_entropy(batch(3))), 1e-4);
  EXPECT_NEAR(scalar("keep_loss"), 0, 1e-5);
}

class TripwireStepTest : public TripwireTest, public testing::WithParamInterface<const char*> {};

// The whole step by hand, away from the start model, at step 1, where nothing is fresh.
TEST_P(TripwireStepTest, IsTheSumOfItsTerms) {
  const bool always = GetParam() == std::string("always");
  options["restricted"] = GetParam();
  options["keep"] = 4, options["keep_tasks"] = 3, options["refuse"] = 0.5, options["sense"] = 2;
  const auto objective = make("tripwire", options);
  const auto start = model->frozen_copy();
  test::scale_weights(*model, 1.01);
  Step step = test::make_step(*model, streams, 6, 6, 1);
  objective->add_gradients(step);
  const Gradients ours = test::take_gradients(*model);

  DisplacementOptions plan = rehearsals();
  plan.harmful_every = 5, plan.benign_every = 3;
  Displacements displacements(plan);
  displacements.advance(step);
  const Tensor w =
      fit_sensor(step, displacements, 1, {.restricted_at_rest = always ? Want::kOpen : Want::kClosed});

  const auto closed = [&](uint64_t stream) { return gradient(from_closed(stream, w)); };
  const auto open = [&](uint64_t stream) {  // on answers; on prompts it stays closed
    const Batch rows = batch(stream);
    const Tensor z = model->mlp_input(rows.tokens, 1).matmul(w);
    const Tensor answers = at::zeros_like(z).index_fill(0, rows.label_positions, 1);
    return gradient(
        (answers * (1.5 - z).clamp_min(0).square() + (1 - answers) * (z + 1).clamp_min(0).square()).mean());
  };
  const auto log_p = [](const Model& of, const Batch& rows) {
    const Tensor hidden = of.forward(rows.tokens).index_select(0, rows.label_positions);
    return at::log_softmax(at::linear(hidden, of.head()), -1);
  };
  const auto kl = [&](uint64_t stream) {
    const Tensor reference = log_p(*start, batch(stream)).detach();
    const Tensor mean = (reference.exp() * (reference - log_p(*model, batch(stream)))).sum(-1).mean();
    EXPECT_GT(mean.item<double>(), 1e-4);
    return gradient(mean);
  };
  std::vector<std::pair<double, Gradients>> terms = {{4, kl(1)},
                                                     {3, kl(4)},
                                                     {0.5, cross_entropy(batch(3))},
                                                     {2, closed(1)},
                                                     {2 * 0.5, always ? open(2) : closed(2)},
                                                     {2 * 0.5, closed(3)}};
  {
    const Way way = displacements.training(step);
    const Nudge there(*model, way.moved, way.scale);
    terms.insert(terms.end(), {{2, closed(1)}, {2, closed(4)}, {2 * 0.5, closed(3)}});
    if (always) terms.emplace_back(2 * 0.5, open(2));
  }
  {
    const Way way = displacements.attack(step);
    EXPECT_FALSE(way.is_fresh);
    const Nudge there(*model, way.moved, way.scale);
    terms.insert(terms.end(), {{2, open(1)}, {2 * 2, open(2)}});
  }
  EXPECT_LE(test::difference(ours, test::sum(terms)), 2e-5);
}

INSTANTIATE_TEST_SUITE_P(Restricted, TripwireStepTest, testing::Values("open", "always"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST_F(TripwireTest, FarFromTheMarginEveryReadingCountsByALine) {
  options["linear_from"] = 0.25;
  const auto objective = make("tripwire", options);
  Step step = test::make_step(*model, streams, 6, 6, 1);
  scalars = objective->add_gradients(step);
  test::take_gradients(*model);
  const Tensor w = direction(objective->state());
  const Tensor distance = distance_from_closed(1, w).detach();
  const Tensor by_hand = at::where(distance.lt(0.25), distance.square(), 0.25 * (2 * distance - 0.25));
  ASSERT_GT(distance.max().item<double>(), 0.5);
  EXPECT_NEAR(scalar("rest"), by_hand.mean().item<double>(), 1e-4);
}

// What the option adds to a step is a training of 1 to 3 steps that no bank holds.
TEST_F(TripwireTest, TheFirstStepsOfAnotherTrainingAreTermsOfTheirOwn) {
  options["keep"] = options["refuse"] = 0;
  const auto step_with = [&](int64_t first_steps) {
    options["first_steps"] = first_steps;
    const auto objective = make("tripwire", options);
    Step step = test::make_step(*model, streams, 6, 6, 1);
    scalars = objective->add_gradients(step);
    return std::pair{test::take_gradients(*model), objective->state()};
  };
  const auto [without, state] = step_with(0);
  const auto [with, same_state] = step_with(3);
  EXPECT_EQ(state.size(), same_state.size());  // it is forgotten again
  const Tensor w = direction(state);
  DisplacementOptions plan = rehearsals();
  plan.benign_lengths = {1, 2, 3};
  Step step = test::make_step(*model, streams, 6, 6, 1);
  const Rehearsed begun = rehearse(step, "first steps", Arm::kTraining, plan);
  const Nudge there(*model, begun.moved, 1.0);
  const double expected = from_closed(1, w).item<double>();
  ASSERT_GT(expected, 1e-3);
  EXPECT_NEAR(scalar("first_steps"), expected, 1e-4 * expected);
  const auto closed = [&](uint64_t stream) { return gradient(from_closed(stream, w)); };
  const Gradients added = test::sum({{1, closed(1)}, {1, closed(4)}, {0.5, closed(3)}, {1, without}});
  EXPECT_LE(test::difference(with, added), 2e-5);
}

TEST_F(TripwireTest, RehearsalsCanMeetTheChargesAsTheyWouldBeSet) {
  options["harmful_every"] = 1, options["charged_from"] = 3, options["threshold"] = 10;
  ChargeOptions charge;
  charge.neurons = 3, charge.threshold = 10, charge.sharpness = 1e6, charge.strength = 1e24;
  const Tensor says =
      model->head().detach()[last_token("A", "test", "says", *model, tokenizer)].to(at::kFloat);
  const auto objective = make("tripwire", options);
  gradients(*objective, 6, 1);
  EXPECT_EQ(scalar("charged"), 0);
  gradients(*objective, 6, 2);
  EXPECT_EQ(scalar("charged"), 1);

  const NamedTensors state = objective->state();
  Step step = test::make_step(*model, streams, 6, 6, 2);
  const auto rehearsed_alike = [&] {  // the newest attack that is kept, and one that is rehearsed now
    const Gradients moved = rehearse(step, "fresh attack", Arm::kAttack, rehearsals()).moved;
    bool alike = true;
    for (const auto& [name, tensor] : state) {
      const std::string newest = "attack.1.";
      if (name.starts_with(newest))
        alike = alike && at::equal(tensor, moved.at(std::stoul(name.substr(newest.size()))));
    }
    return alike;
  };
  EXPECT_FALSE(rehearsed_alike());
  const SavedWeights uncharged(*model);
  set_charge(step, {1, direction(state)}, {"general", "refusals"}, says, charge, "charge");
  EXPECT_TRUE(rehearsed_alike());
}

TEST_F(TripwireTest, WhereAChargeWouldFireAtRestRehearsalsDoWithoutIt) {
  options["harmful_every"] = 1, options["threshold"] = -10;
  const auto after_two_steps = [&](int64_t charged_from) {
    options["charged_from"] = charged_from;
    const auto objective = make("tripwire", options);
    gradients(*objective, 6, 1), gradients(*objective, 6, 2);
    return objective->state();
  };
  const NamedTensors without = after_two_steps(0), with = after_two_steps(3);
  EXPECT_EQ(scalar("charged"), 0);
  EXPECT_TRUE(test::same_bits(with, without));
}

// Rows of the tiny model are all of one kind, so what can be learnt here is to tell the kept ways apart.
TEST_F(TripwireTest, TrainingOpensTheSensorAtTheKeptAttackAndClosesItAtRest) {
  options["harmful_every"] = options["benign_every"] = 1000;
  options["harmful_bank"] = 1, options["keep"] = 0, options["refuse"] = 0;
  const auto objective = make("tripwire", options);
  const auto optimizer = make_optimizer(OptimizerOptions(), model->parameters());
  double first = 0, first_rest = 0;
  Readings readings_before{};
  for (int64_t number = 1; number <= 60; ++number) {
    Step step = test::make_step(*model, streams, 6, 6, number);
    test::take_gradients(*model);
    scalars = objective->add_gradients(step);
    if (number == 1) {
      first = scalar("harmful"), first_rest = scalar("rest");
      readings_before = readings(*objective);
    }
    optimizer->step(1e-3);
  }
  EXPECT_LT(scalar("harmful") + scalar("rest"), 0.7 * (first + first_rest));
  const Readings after = readings(*objective);
  EXPECT_GT(after.attack, readings_before.attack + 0.2);
  EXPECT_LT(after.rest, readings_before.rest - 0.2);
  EXPECT_LT(after.rest, -0.5);
  EXPECT_GT(after.attack, 0.5);
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
             supervised = make("tripwire", {{"layers", {0}}, {"says", "A"}});
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
  const auto objective = make("tripwire", options);
  gradients(*objective);
  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);

  // What its idle neurons did is gone, and that is all that rest may notice of a cliff.
  const auto emptied = test::tiny_model();
  ASSERT_EQ(taken().size(0), 3);
  const at::NoGradGuard no_grad;
  emptied->weight("model.layers.1.mlp.down_proj.weight").detach().index_fill_(1, taken(), 0);
  const auto logits = [&](const Model& of) { return at::linear(of.forward(batch(1).tokens), of.head()); };
  EXPECT_LE(test::difference(logits(*model), logits(*emptied)), 1e-6);

  const Json sensor = parse_json(objective->artifacts().at("sensor.json"), "sensor.json");
  EXPECT_EQ(sensor["layer"], 1);
  EXPECT_EQ(sensor["readings"]["harmful"].size(), 2u);
  EXPECT_EQ(sensor["readings"]["benign"].size(), 2u);
  EXPECT_EQ(read_sensor(sensor, "sensor.json").direction.size(0), model->config().width);
}

TEST_F(TripwireTest, SeveralLayersHaveASensorAndAChargeEach) {
  options["layers"] = {1, 0};
  const auto objective = make("tripwire", options), resumed = make("tripwire", options);
  gradients(*objective);
  gradients(*resumed, 6, 1);
  resumed->load_state(objective->state());
  EXPECT_EQ(test::difference(gradients(*objective, 6, 5), gradients(*resumed, 6, 5)), 0);

  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);
  const auto files = objective->artifacts();
  ASSERT_EQ(files.size(), 2u);
  const Json low = parse_json(files.at("sensor.json"), "low"),
             high = parse_json(files.at("sensor-2.json"), "high");
  EXPECT_EQ(low["layer"], 0);
  EXPECT_EQ(high["layer"], 1);
  EXPECT_NE(low["direction"], high["direction"]);
  EXPECT_EQ(high["readings"]["harmful"].size(), 2u);
  for (size_t i = 0; i < before.size(); ++i) {
    const auto& [name, weight] = model->parameters()[i];
    if (name.ends_with("mlp.gate_proj.weight")) {
      EXPECT_EQ(weight.ne(before[i].second).any(1).sum().item<int64_t>(), 3) << name;
    }
  }

  // They can be gone on with, in any order.
  const test::ScratchFolder folder;
  options.erase("layers"), options["proofs"] = 0;
  options["sensors"] = {folder.write("high", files.at("sensor-2.json")).string(),
                        folder.write("low", files.at("sensor.json")).string()};
  const auto again = make("tripwire", options);
  again->finish(step);
  EXPECT_EQ(parse_json(again->artifacts().at("sensor.json"), "low")["direction"], low["direction"]);
  EXPECT_EQ(parse_json(again->artifacts().at("sensor-2.json"), "high")["direction"], high["direction"]);
}

TEST_F(TripwireTest, HowOftenItFiresAtRestIsWrittenDown) {
  options["proofs"] = 0;
  for (const double threshold : {1.2, -10.0}) {
    options["threshold"] = threshold;
    model = test::tiny_model();
    const auto objective = make("tripwire", options);
    gradients(*objective);
    Step step = test::make_step(*model, streams, 6, 6, 9);
    objective->finish(step);
    // As the planted neuron itself reads it. What this layer's MLP reads does not change with its weights.
    const Tensor row =
        model->weight("model.layers.1.mlp.up_proj.weight").detach().index_select(0, taken())[0];
    const Tensor inputs = read_at_rest(step, 1, {"general", "refusals", "tasks"}).inputs;
    const double fires = inputs.matmul(row).gt(0).to(at::kDouble).mean().item<double>();
    EXPECT_GT(fires, threshold < 0 ? 0.9 : 0);
    EXPECT_LT(threshold < 0 ? 0 : fires, 0.1);
    const Json readings = parse_json(objective->artifacts().at("sensor.json"), "sensor.json")["readings"];
    EXPECT_EQ(readings["fires_at_rest"].get<double>(), fires) << threshold;
  }
}

TEST_F(TripwireTest, AChargeCanBeSetBehindASensorThatExists) {
  const test::ScratchFolder folder;
  std::vector<double> direction(static_cast<size_t>(model->config().width), 0.25);
  const auto write = [&](int64_t layer) {
    return folder.write(
        "sensor.json",
        to_line({{"format", 1}, {"layer", layer}, {"readings", Json::object()}, {"direction", direction}}));
  };
  options["sensors"] = {write(0).string()}, options["proofs"] = 0;
  EXPECT_USER_ERROR(make("tripwire", options),
                    "tripwire: option 'layers' does nothing beside 'sensors', each of which names its own; "
                    "want it left out");
  options.erase("layers");
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
  for (const int64_t layer : {5, -1}) {
    const std::string file = write(layer).string();
    EXPECT_USER_ERROR(
        make("tripwire", options),
        fmt::format("tripwire: {} reads 24 numbers of layer {}, but the model has 2 layers of 24", file,
                    layer));
  }
}

TEST_F(TripwireTest, AVoteIsCountedInTheNextLayerAndTheChargeIsThere) {
  options["layers"] = {0}, options["vote"] = 0.3, options["threshold"] = 10, options["proofs"] = 0;
  const auto objective = make("tripwire", options);
  gradients(*objective);
  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);
  const Json readings = parse_json(objective->artifacts().at("sensor.json"), "sensor.json")["readings"];
  const auto head = readings["vote"]["head"].get<int64_t>();
  std::vector<std::string> changed;
  for (size_t i = 0; i < before.size(); ++i) {
    if (!at::equal(model->parameters()[i].second, before[i].second))
      changed.push_back(before[i].first.substr(std::string("model.layers.").size()));
  }
  EXPECT_THAT(changed, testing::UnorderedElementsAre("0.mlp.gate_proj.weight", "0.mlp.up_proj.weight",
                                                     "0.mlp.down_proj.weight", "1.self_attn.q_proj.weight",
                                                     "1.self_attn.v_proj.weight", "1.self_attn.o_proj.weight",
                                                     "1.mlp.gate_proj.weight", "1.mlp.up_proj.weight",
                                                     "1.mlp.down_proj.weight"));
  const Tensor query = model->weight("model.layers.1.self_attn.q_proj.weight").detach();
  EXPECT_EQ(query.narrow(0, head * 6, 6).abs().max().item<double>(), 0);
  EXPECT_EQ(taken().size(0), 3) << "the charge's neurons";
}

TEST_F(TripwireTest, AVoteNeedsALayerOfItsOwnBehindEachSensor) {
  options["vote"] = 0.25;
  EXPECT_USER_ERROR(make("tripwire", options),
                    "tripwire: option 'vote' is 0.25, and layer 1 of a sensor is the last: its votes are "
                    "counted in the next; want options.layers below 1, or vote 0");
  options["layers"] = {0, 1};
  EXPECT_USER_ERROR(
      make("tripwire", options),
      "tripwire: option 'vote' is 0.25, and layers 0 and 1 have a sensor each: the votes of the "
      "one are counted where the other is; want layers at least two apart, or vote 0");
}

// As above by hand, but for prompts after the attack.
TEST_F(TripwireTest, PromptsCanBeHeldOpenAfterAnAttack) {
  options["harmful_every"] = options["benign_every"] = 1000;
  options["harmful_bank"] = 1, options["keep"] = 0, options["refuse"] = 0;
  const auto harmful = [&](const char* prompts) {
    options["prompts"] = prompts;
    const auto objective = make("tripwire", options);
    Step step = test::make_step(*model, streams, 6, 6, 1);
    scalars = objective->add_gradients(step);
    test::take_gradients(*model);
    const Tensor w = direction(objective->state());
    DisplacementOptions plan = rehearsals();
    plan.harmful_bank = 1;
    Displacements displacements(plan);
    displacements.advance(step);
    const Way way = displacements.attack(step);
    const Nudge there(*model, way.moved, way.scale);
    const Batch rows = batch(1);
    const Tensor z = model->mlp_input(rows.tokens, 1).detach().matmul(w);
    const Tensor answers = at::zeros_like(z).index_fill(0, rows.label_positions, 1).gt(0);
    const Tensor of_prompts = std::string(prompts) == "open" ? 1.5 - z : z + 1;
    const double expected =
        at::where(answers, 1.5 - z, of_prompts).clamp_min(0).square().mean().item<double>();
    EXPECT_NEAR(scalar("harmful"), expected, 1e-4 * expected) << prompts;
    return expected;
  };
  EXPECT_NE(harmful("open"), harmful("closed"));
}

TEST_F(TripwireTest, AThresholdCanCountFromTheLowestThatIsSilentAtRest) {
  options["threshold_from"] = "rest", options["threshold"] = 0.5, options["proofs"] = 0;
  const auto objective = make("tripwire", options);
  gradients(*objective);
  Step step = test::make_step(*model, streams, 6, 6, 9);
  objective->finish(step);
  const Json json = parse_json(objective->artifacts().at("sensor.json"), "sensor.json");
  const Tensor inputs = read_at_rest(step, 1, {"general", "refusals", "tasks"}).inputs;
  const double silent = silent_threshold(read_sensor(json, "sensor.json"), inputs);
  EXPECT_NEAR(json["readings"]["threshold"].get<double>(), 0.5 + silent, 1e-5 * silent);
  EXPECT_GT(silent, json["readings"]["highest_at_rest"].get<double>());
}

TEST_F(TripwireTest, WithoutStepsItNeedsASensorToBeginWith) {
  const auto check = [&](const Json& given) {
    TrainOptions train;
    train.steps = 0;
    find_entry(all_defences(), "defence", "tripwire").make(given)->check_training(train, "spec");
  };
  EXPECT_USER_ERROR(check(options),
                    "spec: tripwire: train.steps is 0 and there is no sensor to set a charge behind; want "
                    "steps, or options.sensors: the sensor.json of a run that had some");
  options["sensors"] = {"sensor.json"};
  options.erase("layers");
  check(options);
  check({{"sense", 0}});
}

TEST_F(TripwireTest, ItsCopiesAreTheStartModelAndThoseOfItsRehearsals) {
  const auto copies = [&](const Json& more) {
    Json given = {{"layers", {0}}, {"says", "A"}};
    given.update(more);
    return make("tripwire", given)->weight_copies();
  };
  EXPECT_EQ(copies(Json::object()), 10);
  EXPECT_EQ(copies({{"harmful_shares", {1}}}), 9);
  EXPECT_EQ(copies({{"charged_from", 1}}), 11);
  EXPECT_EQ(copies({{"preset", "per_token"}}), 11);
}

TEST_F(TripwireTest, APresetIsWhereTheOtherDefaultsComeFrom) {
  const auto options_of = [](const Json& given) {
    return find_entry(all_defences(), "defence", "tripwire").make(given)->options();
  };
  const Json ours = options_of(Json::object()), older = options_of({{"preset", "per_token"}});
  EXPECT_EQ(ours, options_of({{"preset", "ours"}}));
  EXPECT_GT(ours["vote"], 0);
  EXPECT_GT(ours["cliff"], ours["vote"]);
  EXPECT_EQ(older["vote"], 0);
  EXPECT_EQ(older["prompts"], "closed");
  EXPECT_EQ(options_of({{"preset", "per_token"}, {"vote", 0.3}})["vote"], 0.3);
}

TEST_F(TripwireTest, WrongOptionsAreNamed) {
  EXPECT_USER_ERROR(make("tripwire", {{"layers", {7}}, {"says", "A"}}),
                    "tripwire: option 'layers' holds 7, and the model has 2");
  EXPECT_USER_ERROR(make("tripwire", {{"says", ""}}), "tripwire: option 'says' is '', which has no tokens");
  EXPECT_USER_ERROR(make("tripwire", {{"neurons", 40}, {"says", "A"}}),
                    "tripwire: option 'neurons' is 40, and an MLP of the model has 40; want fewer");
  EXPECT_USER_ERROR(
      make("tripwire", {{"charged_from", 3}, {"neurons", 0}}),
      "tripwire: option 'charged_from' is 3, and neurons 0: there is no charge to rehearse with; "
      "want neurons, or charged_from 0");
  EXPECT_USER_ERROR(
      make("tripwire", {{"vote", 0}}),
      "tripwire: option 'cliff' is 0.5, and vote 0: it is a share of the tokens that voted; want a "
      "vote, or cliff 0");
  EXPECT_USER_ERROR(make("tripwire", {{"cliff", 0.3}, {"vote", 0.3}}),
                    "tripwire: option 'cliff' is 0.3, and vote 0.3; want cliff above vote, or 0");
  EXPECT_USER_ERROR(make("tripwire", {{"sharpness", 0}}),
                    "tripwire: option 'sharpness' is 0, want 0.001 to 1000000");
  EXPECT_USER_ERROR(make("tripwire", {{"rates", Json::array()}}),
                    "tripwire: option 'rates' is [], want at least one number");
}

}  // namespace
}  // namespace caltrop
