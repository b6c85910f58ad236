// Tripwire: a sensor that harmful fine-tuning opens, and a charge behind it. Caltrop's own; docs/tripwire.md.
//
// Fine-tuning on restricted answers moves hidden states on *unrelated* text in a direction of its own, which benign fine-tuning
// hardly shares. A sensor is one linear reading z = w.x of what the MLP of one layer reads. It is sharpened by rehearsal: the
// attack and its benign twin are really trained for a few steps (train/displacement.h), and the model learns to have
//
//   z <= -1   at rest; on general text, tasks and refusals after benign training (theta + s D_b); on prompts always
//   z >= m    on answers, general and restricted, after harmful training (theta + s D_h); m: open_margin
//
//   minimise  keep * KL(start || theta; general) + refuse * L(theta; refusals)                      streams: "general", "harmful",
//           + sense * [ closed(theta; general, harmful, refusals) + closed(theta + s D_b; general)           "refusals", "tasks"
//                     + open(theta + s D_h; general) + 2 open(theta + s D_h; harmful) ]
//   where     open, closed = mean squared distance of z from the right side of its margin (loss/sensor.h)
//
// First order: gradients taken at theta + s D are applied at theta, s uniform in 0.5 .. 1.5 (1 for a fresh D). When training is over
// a few idle neurons of that layer become the charge (train/charge.h): silent while z < tau, above it a flood of the residual stream
// whose square overflows, so that RMSNorm gives 0, every logit is 0 and no weight has a gradient: a cliff. Hence restricted answers
// may open too. `restricted: closed` has 2 closed(theta + s D_h; harmful) instead, for a charge that is a slope (sharpness 20, strength
// 6): the attacker's loss would feel that one, and trains it away within two steps.
//
// Cost per step: 2 passes of the whole model and 8 up to the sensor's layer, forward and backward, 1 forward of the start model, and
// the rehearsals: about 8 attack steps every harmful_every steps, 22 benign ones every benign_every. Half weight: closed on harmful rows
// at rest and on refusals. Means are over the tokens of one micro-batch, so `train.micro_batch` changes them. 1 copy of the weights
// for the start model, 4 in rehearsal (saved weights, two moments, gradients; 5 for mixtures, which have gradients of both halves),
// half a copy a displacement.
// Watch: harmful_fresh and benign_fresh must fall too: a reading that is right for the displacements in the bank alone is memorised.
// keep_loss must stay small.
//
// Tested by tests/defences/tripwire_test.cc.
#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/loss/language.h"
#include "caltrop/loss/reference.h"
#include "caltrop/train/charge.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/sensing.h"
#include "caltrop/train/token_option.h"
#include "caltrop/train/trainer.h"

namespace caltrop {
namespace {

struct TripwireOptions : DisplacementOptions, ChargeOptions {
  int64_t layer = -1;
  double keep = 4.0;
  double refuse = 1.0;
  double sense = 1.0;
  double open_margin = 1.5;
  std::string threshold_from = "zero";
  int64_t proofs = 4;
  std::string restricted = "open";
  std::string sensor;
  std::string says = " error";

  // As measured in docs/tripwire.md: attacks are rehearsed over their first steps, benign trainings far longer; a charge that is a cliff.
  TripwireOptions() {
    rates = {2e-5, 3e-5, 3e-5, 1e-4}, harmful_shares = {1, 1, 0.5};
    lengths = {3, 5, 8, 14}, benign_lengths = {6, 12, 24, 48};
    harmful_bank = 4, harmful_every = 5, benign_bank = 6, benign_every = 3;
    neurons = 4, threshold = 1.2, sharpness = 1e6, strength = 1e24;
  }

  static auto fields() {
    using O = TripwireOptions;
    return std::tuple_cat(
        std::tuple{
            field("layer", &O::layer, -1, 1e6, "whose MLP is read and rewired; -1: two thirds of the way up"),
            field("keep", &O::keep, 0, 1e3, "weight of staying like the start model on general text"),
            field("refuse", &O::refuse, 0, 1e3, "weight of refusing"),
            field("sense", &O::sense, 0, 1e3, "weight of the sensor; 0 turns sensor and charge off"),
            field("open_margin", &O::open_margin, 0, 1e3,
                  "the reading that is asked for after an attack; at rest it is -1"),
            field("threshold_from", &O::threshold_from, {"zero", "rest"},
                  "rest: the charge's threshold counts from the lowest at which it is silent at rest"),
            field("proofs", &O::proofs, 0, 1e3,
                  "fresh attacks and trainings by which the finished sensor is measured"),
            field("restricted", &O::restricted, {"closed", "open"},
                  "the sensor on restricted answers after an attack: open ruins what the attacker wants too; "
                  "closed hides a charge that is no cliff from his loss"),
            field("sensor", &O::sensor,
                  "a sensor.json to go on with, layer included; with train.steps 0 only the charge is set"),
            field(
                "says", &O::says,
                "its last token is what a sprung model says where the charge is a slope; past a cliff every "
                "logit is 0")},
        DisplacementOptions::fields(), ChargeOptions::fields());
  }
};

class Tripwire final : public Objective {
 public:
  explicit Tripwire(TripwireOptions options) : options_(std::move(options)), displacements_(options_) {}

  std::vector<std::string> streams() const override {
    std::vector<std::string> names = benign_streams();
    names.insert(names.begin() + 1, "harmful");
    if (options_.reinforced > 0) names.emplace_back("prompts");
    return names;
  }
  Answers answers() const override {
    return options_.reinforced > 0 ? Answers{options_.reinforced_samples, options_.reinforced_tokens}
                                   : Answers{};
  }
  std::vector<std::string> input_files() const override {
    return options_.sensor.empty() ? std::vector<std::string>() : std::vector{options_.sensor};
  }
  int64_t weight_copies() const override { return /*start model*/ 1 + displacements_.copies(); }
  void check_training(const TrainOptions& train, const std::string& who) const override {
    if (train.steps == 0 && options_.sense > 0 && options_.sensor.empty())
      throw UserError(
          "{}: tripwire: train.steps is 0 and there is no sensor to set a charge behind; want steps, or "
          "options.sensor: the sensor.json of a run that had some",
          who);
  }

  std::vector<MetricDeclaration> logged() const override {
    return {{"keep_loss", "nats/token", "lower", "KL from the start model on general text"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"rest", "", "lower", "distance of the reading from closed at rest"},
            {"benign", "", "lower", "distance from closed after a rehearsed benign training"},
            {"benign_fresh", "", "lower", "the same after one that was never trained against"},
            {"harmful", "", "lower", "distance from open after a rehearsed attack"},
            {"harmful_fresh", "", "lower", "the same after an attack that was never trained against"},
            {"restricted", "", "lower",
             "distance from what is wanted on restricted text after a rehearsed attack"}};
  }

  void use_rewards(const MakeRewards& make) override { displacements_.use_rewards(make); }

  void prepare(const Model& model, const Tokenizer& tokenizer) override {
    displacements_.use_tokenizer(tokenizer);
    says_ = last_token(options_.says, "tripwire", "says", model, tokenizer);
    const int64_t layers = model.config().layers;
    sensor_.layer = options_.layer < 0 ? layers * 2 / 3 : options_.layer;
    if (sensor_.layer >= layers)
      throw UserError("tripwire: option 'layer' is {}, and the model has {}", sensor_.layer, layers);
    const int64_t inner = model.config().inner_width;
    if (options_.neurons >= inner)
      throw UserError("tripwire: option 'neurons' is {}, and an MLP of the model has {}; want fewer",
                      options_.neurons, inner);
    if (!options_.sensor.empty()) {
      sensor_ = read_sensor(read_json(options_.sensor), options_.sensor);
      if (sensor_.layer < 0 || sensor_.layer >= layers || sensor_.direction.size(0) != model.config().width)
        throw UserError("tripwire: {} reads {} numbers of layer {}, but the model has {} layers of {}",
                        options_.sensor, sensor_.direction.size(0), sensor_.layer, layers,
                        model.config().width);
      sensor_.direction = sensor_.direction.to(model.device());
    }
    start_ = model.frozen_copy();
  }

  Scalars add_gradients(Step& step) override {
    const LossFn like_the_start = kl_loss(step.hidden_of("general", *start_), start_->head());
    Scalars scalars{{"keep_loss", step.accumulate("general", like_the_start, options_.keep)},
                    {"refuse_loss", step.accumulate("refusals", answer_loss(), options_.refuse)}};
    if (options_.sense == 0) return scalars;
    displacements_.advance(step);
    if (!sensor_.direction.defined())
      sensor_.direction = fit_sensor(step, displacements_, sensor_.layer, restricted());
    const LossFn closed = sensor_loss(sensor_, Want::kClosed, Want::kClosed);
    const LossFn open = sensor_loss(sensor_, Want::kOpen, Want::kClosed, {.open = options_.open_margin});

    scalars.emplace_back("rest", step.accumulate("general", closed, options_.sense));
    step.accumulate("harmful", closed, 0.5 * options_.sense);
    step.accumulate("refusals", closed, 0.5 * options_.sense);
    {
      const Way way = displacements_.training(step);
      const Nudge trained(step.model(), way.moved, way.scale);
      scalars.emplace_back(way.is_fresh ? "benign_fresh" : "benign",
                           step.accumulate("general", closed, options_.sense));
      // Who trained honestly must be able to go on with his task, and be refused where the model refuses.
      const std::vector<std::string> tasks = task_streams(options_);
      RandomStream random = step.random("which task");
      step.accumulate(tasks[random.below(tasks.size())], closed, options_.sense);
      step.accumulate("refusals", closed, 0.5 * options_.sense);
    }
    const Way way = displacements_.attack(step);
    const Nudge attacked(step.model(), way.moved, way.scale);
    scalars.emplace_back(way.is_fresh ? "harmful_fresh" : "harmful",
                         step.accumulate("general", open, options_.sense));
    scalars.emplace_back("restricted", step.accumulate("harmful", restricted() == Want::kOpen ? open : closed,
                                                       2 * options_.sense));
    return scalars;
  }

  /// Training is over: measure the sensor on attacks that it has never seen, and set the charge behind it.
  void finish(Step& step) override {
    if (options_.sense == 0 || !sensor_.direction.defined()) return;
    readings_ = prove_sensor(step, sensor_, options_, options_.proofs, displacements_.reinforcement());
    // The prompts of refusals are the harmful ones.
    const AtRest rest = read_at_rest(step, sensor_.layer, benign_streams());
    readings_["highest_at_rest"] = rest.inputs.matmul(sensor_.direction).max().item<double>();
    if (options_.neurons == 0) return;
    ChargeOptions charge = options_;
    if (options_.threshold_from == "rest") charge.threshold += silent_threshold(sensor_, rest.inputs);
    const Tensor fires = rest.inputs.matmul(gate_row(sensor_, rest.inputs, charge.threshold)).gt(0);
    const double share = fires.to(at::kDouble).mean().item<double>();
    if (share > 0)
      warn(
          "tripwire: at rest the charge fires on {:.2g} % of the tokens that were read; on fewer with a "
          "higher "
          "options.threshold, or with threshold_from: rest",
          100 * share);
    readings_["threshold"] = charge.threshold;
    readings_["fires_at_rest"] = share;
    install_charge(step.model(), sensor_, rest.inputs, rest.stream_length,
                   step.model().head().detach().to(at::kFloat)[says_], charge, step.random("charge"));
  }

  NamedTensors state() const override {
    NamedTensors tensors = displacements_.state();
    if (sensor_.direction.defined()) tensors.emplace_back("direction", sensor_.direction);
    return tensors;
  }
  void load_state(const NamedTensors& tensors) override {
    displacements_.load(tensors);
    for (const auto& [name, tensor] : tensors) {
      if (name == "direction") sensor_.direction = tensor;
    }
  }
  std::map<std::string, std::string> artifacts() const override {
    if (readings_.is_null()) return {};
    return {{"sensor.json", to_pretty(write_sensor(sensor_, readings_))}};
  }
  Json options() const override { return write_options(options_); }

 private:
  std::vector<std::string> benign_streams() const {
    std::vector<std::string> names = task_streams(options_);
    names.insert(names.begin(), {"general", "refusals"});
    return names;
  }
  Want restricted() const { return options_.restricted == "open" ? Want::kOpen : Want::kClosed; }

  TripwireOptions options_;
  Displacements displacements_;
  Sensor sensor_;
  Json readings_;
  std::shared_ptr<const Model> start_;
  int64_t says_ = 0;
};

}  // namespace

extern const Entry tripwire_entry;
const Entry tripwire_entry{
    .name = "tripwire",
    .paper = "",
    .summary = "a sensor that harmful fine-tuning opens on unrelated text, and a charge behind it",
    .describe = describe_options<TripwireOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      TripwireOptions options;
      read_options(options, given, "tripwire");
      check_lists(options, "tripwire");
      return std::make_unique<Tripwire>(std::move(options));
    }};

}  // namespace caltrop
