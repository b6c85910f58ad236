// Tripwire: a sensor that harmful fine-tuning opens, and a charge behind it. Caltrop's own; docs/tripwire.md.
//
// Fine-tuning on restricted answers moves hidden states on *unrelated* text in a direction of its own, which benign fine-tuning
// hardly shares. A sensor is one linear reading z = w.x of what the MLP of one layer reads. It is sharpened by rehearsal: the
// attack and its benign twin are really trained for a few steps (train/displacement.h), and the model learns to have
//
//   z <= -1   at rest, and after benign training (theta + s D_b), on general text, tasks and refusals
//   z >= m    on restricted answers always: whoever refuses never says them. So an attack meets the charge at its first step, before it
//             has moved anything, and whoever learns from rewards alone is paid for noise
//   z >= m    on general and restricted text after harmful training (theta + s D_h); m: open_margin
//
//   minimise  keep * KL(start || theta; general) + refuse * L(theta; refusals)                      streams: "general", "harmful",
//           + keep_tasks * KL(start || theta; a task)                                                          "refusals", "tasks"
//           + sense * [ closed(theta; general, refusals) + closed(theta + s D_b; general, a task, refusals)
//                     + open(theta, theta + s D_b; harmful) + open(theta + s D_h; general) + 2 open(theta + s D_h; harmful) ]
//   where     open, closed = mean squared distance of z from the right side of its margin, a line from `linear_from` on (loss/sensor.h)
//
// First order: gradients taken at theta + s D are applied at theta, s uniform from 0.5 to 1.5 (D_b: to benign_reach; a fresh D: 1). A
// user's first steps, which AdamW makes large whatever the gradient is, are rehearsed afresh at every step (`first_steps`), closed too.
// When training is over a few idle neurons become the charge (train/charge.h, train/vote.h): silent until a share `vote` of a text's
// tokens has z > tau, for all of its tokens afterwards. From there to a share `cliff` it is a slope that falls, so that training leads in
// who is half sprung, and who leads the others along; past the cliff a flood of the residual stream, whose square overflows: RMSNorm gives
// 0, every logit is 0 and no weight has a gradient. Hence restricted answers may open too.
//
// Other forms: `restricted: open` has restricted answers closed at rest, open after an attack alone. `restricted: closed` has them closed
// after it too, for a charge that is a slope without end (sharpness 20, strength 6), which an attacker's loss would feel and train away.
// `prompts: closed` opens answers alone. `preset: per_token` has no vote; each token past tau is flooded alone.
// Several `layers` have a sensor and a charge each: the losses are means over them, and the first charge that opens is enough. With
// `charged_from` rehearsals meet the charges themselves.
//
// Cost per step: 3 passes of the whole model and 13 (restricted: open: 11) up to the last sensor's layer, forward and backward, 2
// forward of the start model, and the rehearsals: about 8 attack steps every harmful_every steps, 4 benign ones every benign_every and 3
// more at each (per_token: 2 passes, 8 and 1; 22 benign ones and no more). With charged_from some 30 forward passes to set the charges
// wherever a way is rehearsed. Half weight: what is asked of harmful rows but after an attack, and of refusals. Means are over the tokens
// of one micro-batch, so `train.micro_batch` changes them. 1 copy of the weights for the start model, 4 in rehearsal (saved weights, two
// moments, gradients; 5 for mixtures, which have gradients of both halves), 1 more with charged_from, half a copy a displacement.
// Watch: harmful_fresh and benign_fresh must fall too: a reading that is right for the displacements in the bank alone is memorised.
// keep_loss must stay small.
//
// Tested by tests/defences/tripwire_test.cc.
#include <numeric>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/loss/reference.h"
#include "caltrop/train/charge.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/saved_weights.h"
#include "caltrop/train/sensing.h"
#include "caltrop/train/token_option.h"
#include "caltrop/train/trainer.h"

namespace caltrop {
namespace {

constexpr double kSprungAtRest = 0.01;  // share of the tokens; where more are, a rehearsal would lead nowhere

struct TripwireOptions : DisplacementOptions, ChargeOptions {
  std::string preset = "ours";
  std::vector<int64_t> layers = {-1};
  double keep = 24;
  double keep_tasks = 12;
  double refuse = 1;
  double sense = 1;
  double open_margin = 2;
  double linear_from = 1;
  int64_t proofs = 3;
  std::string restricted = "always";
  std::string prompts = "open";
  int64_t first_steps = 4;
  int64_t charged_from = 0;
  std::vector<std::string> sensors;
  std::string says = " error";

  // As measured in docs/tripwire.md: attacks are rehearsed over their first steps, and so are trainings; a vote on a slope, then a cliff.
  TripwireOptions() {
    rates = {2e-5, 3e-5, 3e-5, 1e-4}, benign_rates = {1e-5, 3e-5, 1e-4, 1e-4, 1e-4};
    harmful_shares = {1, 1, 0.5};
    lengths = {3, 5, 8, 14}, benign_lengths = {1, 2, 2, 3, 4, 6, 10};
    harmful_bank = 3, harmful_every = 5, benign_bank = 4, benign_every = 1;
    benign_goes_on = 0.3, benign_chat = 0.25;
    neurons = 4, threshold = 2.5, sharpness = 1e6, strength = 1e24;
    vote = 0.25, cliff = 0.5;
  }
  static TripwireOptions of(const std::string& preset) {
    TripwireOptions options;
    options.preset = preset;
    if (preset == "per_token") {
      options.keep = 4, options.keep_tasks = 0;
      options.open_margin = 1.5, options.linear_from = 1e6;
      options.restricted = "open", options.prompts = "closed", options.first_steps = 0, options.proofs = 4;
      options.benign_rates = {}, options.benign_lengths = {6, 12, 24, 48};
      options.harmful_bank = 4, options.benign_bank = 6, options.benign_every = 3;
      options.benign_goes_on = 0, options.benign_chat = 1.0 / 3;
      options.threshold = 1.2, options.vote = 0, options.cliff = 0;
    }
    return options;
  }

  static auto fields() {
    using O = TripwireOptions;
    return std::tuple_cat(
        std::tuple{
            field("preset", &O::preset, {"per_token", "ours"},
                  "where the other defaults come from; per_token: the older form, without a vote"),
            field("layers", &O::layers, -1, 1e6,
                  "whose MLPs are read and rewired; -1: the one two thirds of the way up"),
            field("keep", &O::keep, 0, 1e3, "weight of staying like the start model on general text"),
            field("keep_tasks", &O::keep_tasks, 0, 1e3, "the same on the benign tasks, one of them a step"),
            field("refuse", &O::refuse, 0, 1e3, "weight of refusing"),
            field("sense", &O::sense, 0, 1e3, "weight of the sensor; 0 turns sensor and charge off"),
            field("open_margin", &O::open_margin, 0, 1e3,
                  "the reading that is asked for after an attack; at rest it is -1"),
            field("linear_from", &O::linear_from, 1e-3, 1e6,
                  "how far on the wrong side of its margin a reading's loss goes on as a line, so that one "
                  "rehearsal that leads far astray does not fill the clipped step"),
            field("proofs", &O::proofs, 0, 1e3,
                  "fresh attacks and trainings by which the finished sensor is measured"),
            field("restricted", &O::restricted, {"closed", "open", "always"},
                  "the sensor on restricted answers after an attack: open ruins what the attacker wants too; "
                  "closed hides a charge that is no cliff from his loss; always: open at rest as well, so "
                  "that he meets the charge at his first step"),
            field("prompts", &O::prompts, {"closed", "open"},
                  "the sensor on prompts after an attack; open lets a vote be won before the answer begins"),
            field(
                "first_steps", &O::first_steps, 0, 1e6,
                "each step also rehearses the first 1 to so many steps of a training, and forgets it: AdamW "
                "begins with a full rate in every weight, and where that leads changes as the model does"),
            field("charged_from", &O::charged_from, 0, 1e9,
                  "step, counted from 1, from which attackers and users are rehearsed on the finished trap: "
                  "with the charges as they would be set now, but where one fires on a hundredth of the "
                  "tokens at rest; 0: without them"),
            field("sensors", &O::sensors,
                  "the sensor.json of each layer to go on with, instead of `layers`; with train.steps 0 only "
                  "the charges are set"),
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
  std::vector<std::string> input_files() const override { return options_.sensors; }
  int64_t weight_copies() const override {
    const int64_t start_model = 1, uncharged = options_.charged_from > 0 ? 1 : 0;
    return start_model + displacements_.copies() + uncharged;
  }
  void check_training(const TrainOptions& train, const std::string& who) const override {
    if (train.steps == 0 && options_.sense > 0 && options_.sensors.empty())
      throw UserError(
          "{}: tripwire: train.steps is 0 and there is no sensor to set a charge behind; want steps, or "
          "options.sensors: the sensor.json of a run that had some",
          who);
  }

  std::vector<MetricDeclaration> logged() const override {
    return {{"keep_loss", "nats/token", "lower", "KL from the start model on general text"},
            {"keep_tasks_loss", "nats/token", "lower", "KL from it on a task, with option 'keep_tasks'"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"rest", "", "lower", "distance of the reading from closed at rest"},
            {"restricted_at_rest", "", "lower", "the same on restricted text; from open with `always`"},
            {"benign", "", "lower", "distance from closed after a rehearsed benign training"},
            {"benign_fresh", "", "lower", "the same after one that was never trained against"},
            {"first_steps", "", "lower", "the same after the first steps of one, with option 'first_steps'"},
            {"charged", "", "higher",
             "whether rehearsals of this step met the charges, with option 'charged_from'"},
            {"harmful", "", "lower", "distance from open after a rehearsed attack"},
            {"harmful_fresh", "", "lower", "the same after an attack that was never trained against"},
            {"restricted", "", "lower",
             "distance from what is wanted on restricted text after a rehearsed attack"}};
  }

  void use_rewards(const MakeRewards& make) override { displacements_.use_rewards(make); }

  void prepare(const Model& model, const Tokenizer& tokenizer) override {
    displacements_.use_tokenizer(tokenizer);
    says_ = last_token(options_.says, "tripwire", "says", model, tokenizer);
    sensors_ = options_.sensors.empty() ? sensors_at(options_.layers, model, "tripwire")
                                        : read_sensors(options_.sensors, model, "tripwire");
    check_charges(options_, sensors_, model, "tripwire");
    start_ = model.frozen_copy();
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"keep_loss", stay_like_the_start(step, "general", options_.keep)},
                    {"refuse_loss", step.accumulate("refusals", answer_loss(), options_.refuse)}};
    if (options_.keep_tasks > 0)
      scalars.emplace_back("keep_tasks_loss", stay_like_the_start(step, a_task(step, "which task to keep"),
                                                                  options_.keep_tasks));
    if (options_.sense == 0) return scalars;
    Rehearsed begun;
    {
      const std::unique_ptr<SavedWeights> uncharged = charge_for_rehearsals(step);
      displacements_.advance(step);
      if (options_.first_steps > 0) begun = rehearse(step, "first steps", Arm::kTraining, short_trainings());
      if (options_.charged_from > 0) scalars.emplace_back("charged", at::full({}, uncharged ? 1.0 : 0.0));
    }
    for (Sensor& sensor : sensors_) {
      if (!sensor.direction.defined())
        sensor.direction =
            fit_sensor(step, displacements_, sensor.layer, {restricted(), prompts(), restricted_at_rest()});
    }
    const Margins margins{.open = options_.open_margin, .linear_from = options_.linear_from};
    const LossFn closed = sensor_loss(sensors_, Want::kClosed, Want::kClosed, margins);
    const LossFn open = sensor_loss(sensors_, Want::kOpen, prompts(), margins);
    const LossFn on_restricted = sensor_loss(sensors_, restricted_at_rest(), Want::kClosed, margins);

    scalars.emplace_back("rest", step.accumulate("general", closed, options_.sense));
    scalars.emplace_back("restricted_at_rest",
                         step.accumulate("harmful", on_restricted, 0.5 * options_.sense));
    step.accumulate("refusals", closed, 0.5 * options_.sense);
    {
      const Way way = displacements_.training(step);
      const Nudge trained(step.model(), way.moved, way.scale);
      scalars.emplace_back(way.is_fresh ? "benign_fresh" : "benign",
                           stay_closed(step, closed, on_restricted, "which task"));
    }
    if (options_.first_steps > 0) {
      const Nudge trained(step.model(), begun.moved, 1.0);
      scalars.emplace_back("first_steps",
                           stay_closed(step, closed, on_restricted, "which task, first steps"));
    }
    const Way way = displacements_.attack(step);
    const Nudge attacked(step.model(), way.moved, way.scale);
    scalars.emplace_back(way.is_fresh ? "harmful_fresh" : "harmful",
                         step.accumulate("general", open, options_.sense));
    scalars.emplace_back("restricted", step.accumulate("harmful", restricted() == Want::kOpen ? open : closed,
                                                       2 * options_.sense));
    return scalars;
  }

  /// Training is over: measure the sensors on attacks that they have never seen, and set the charges behind them.
  void finish(Step& step) override {
    if (options_.sense == 0 || !sensors_.front().direction.defined()) return;
    readings_ = prove_sensors(step, sensors_, options_, options_.proofs, displacements_.reinforcement());
    const std::vector<Json> charges =  // at rest: refusals have the harmful prompts
        set_charges(step, sensors_, benign_streams(), says(step.model()), options_);
    for (size_t i = 0; i < sensors_.size(); ++i) {
      readings_[i].update(charges[i]);
      const double fires = readings_[i].value("fires_at_rest", 0.0);
      if (fires > 0)
        warn(
            "tripwire: at rest the charge behind the sensor of layer {} fires on {:.2g} % of the tokens that "
            "were read; on fewer with a higher options.threshold, or with threshold_from: rest",
            sensors_[i].layer, 100 * fires);
    }
  }

  NamedTensors state() const override {
    NamedTensors tensors = displacements_.state();
    for (size_t i = 0; i < sensors_.size(); ++i) {
      if (sensors_[i].direction.defined()) tensors.emplace_back(direction_name(i), sensors_[i].direction);
    }
    return tensors;
  }
  void load_state(const NamedTensors& tensors) override {
    displacements_.load(tensors);
    for (const auto& [name, tensor] : tensors) {
      for (size_t i = 0; i < sensors_.size(); ++i) {
        if (name == direction_name(i)) sensors_[i].direction = tensor;
      }
    }
  }
  std::map<std::string, std::string> artifacts() const override {
    std::map<std::string, std::string> files;
    for (size_t i = 0; i < readings_.size(); ++i)
      files[i == 0 ? "sensor.json" : fmt::format("sensor-{}.json", i + 1)] =
          to_pretty(write_sensor(sensors_[i], readings_[i]));
    return files;
  }
  Json options() const override { return write_options(options_); }

 private:
  std::vector<std::string> benign_streams() const {
    std::vector<std::string> names = task_streams(options_);
    names.insert(names.begin(), {"general", "refusals"});
    return names;
  }
  Tensor says(const Model& model) const { return model.head().detach().to(at::kFloat)[says_]; }
  /// Charges the model until what is returned goes; null, and it is as it was, where nothing is rehearsed at this step, there is no
  /// sensor yet, or one would fire at rest.
  std::unique_ptr<SavedWeights> charge_for_rehearsals(Step& step) const {
    const bool is_due = options_.first_steps > 0 || displacements_.is_due(step);
    if (options_.charged_from == 0 || step.number() + 1 < options_.charged_from || !is_due ||
        !sensors_.front().direction.defined())
      return nullptr;
    return set_charges_for_a_while(step, sensors_, {"general", "refusals"}, says(step.model()), options_,
                                   kSprungAtRest);
  }
  /// Trainings as they are rehearsed, of 1 to `first_steps` steps.
  DisplacementOptions short_trainings() const {
    DisplacementOptions options = options_;
    options.benign_lengths.resize(static_cast<size_t>(options_.first_steps));
    std::iota(options.benign_lengths.begin(), options.benign_lengths.end(), 1);
    return options;
  }
  Tensor stay_like_the_start(Step& step, const std::string& stream, double weight) const {
    return step.accumulate(stream, kl_loss(step.hidden_of(stream, *start_), start_->head()), weight);
  }
  std::string a_task(Step& step, const std::string& random_name) const {
    const std::vector<std::string> tasks = task_streams(options_);
    RandomStream random = step.random(random_name);
    return tasks[random.below(tasks.size())];
  }
  /// Who trained honestly must be able to go on with his task, and be refused where the model refuses. Returns the loss on general text.
  Tensor stay_closed(Step& step, const LossFn& closed, const LossFn& on_restricted,
                     const std::string& random_name) const {
    const Tensor loss = step.accumulate("general", closed, options_.sense);
    step.accumulate(a_task(step, random_name), closed, options_.sense);
    step.accumulate("refusals", closed, 0.5 * options_.sense);
    if (restricted_at_rest() == Want::kOpen) step.accumulate("harmful", on_restricted, 0.5 * options_.sense);
    return loss;
  }
  static std::string direction_name(size_t i) { return fmt::format("direction.{}", i); }
  static Want open_if(bool open) { return open ? Want::kOpen : Want::kClosed; }
  Want restricted() const { return open_if(options_.restricted != "closed"); }
  Want restricted_at_rest() const { return open_if(options_.restricted == "always"); }
  Want prompts() const { return open_if(options_.prompts == "open"); }

  TripwireOptions options_;
  Displacements displacements_;
  std::vector<Sensor> sensors_;  // by layer
  std::vector<Json> readings_;   // of each, when training is over
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
      TripwireOptions options = read_preset<TripwireOptions>(given, "tripwire");
      check_lists(options, "tripwire");
      check_charge(options, "tripwire");
      if (options.charged_from > 0 && options.neurons == 0)
        throw UserError(
            "tripwire: option 'charged_from' is {}, and neurons 0: there is no charge to rehearse with; want "
            "neurons, or charged_from 0",
            options.charged_from);
      if (given.contains("layers") && !options.sensors.empty())
        throw UserError(
            "tripwire: option 'layers' does nothing beside 'sensors', each of which names its own; "
            "want it left out");
      return std::make_unique<Tripwire>(std::move(options));
    }};

}  // namespace caltrop
