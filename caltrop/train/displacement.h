// Where training leads, rehearsed: the ways that the weights take under a few real steps of an attacker's or an honest user's
// fine-tuning, kept so that gradients can be taken there again and again. Tested by tests/train/displacement_test.cc.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "caltrop/text/tokenizer.h"
#include "caltrop/train/rehearsal.h"
#include "caltrop/train/reward.h"

namespace caltrop {

struct DisplacementOptions {
  std::vector<double> rates = {1e-5, 3e-5, 3e-5, 1e-4};
  std::vector<int64_t> lengths = {5, 10, 14, 30};
  std::vector<int64_t> benign_lengths;
  std::vector<double> benign_rates;
  std::vector<int64_t> lora_ranks = {0};
  std::vector<double> harmful_shares = {1.0};
  double reinforced = 0;
  int64_t reinforced_samples = 8, reinforced_tokens = 32;
  std::vector<std::string> tasks;
  int64_t harmful_bank = 4, harmful_every = 5;
  int64_t benign_bank = 3, benign_every = 10;
  double benign_goes_on = 0, benign_reach = 1.5;
  double benign_chat = 1.0 / 3;

  static auto fields() {
    using O = DisplacementOptions;
    return std::tuple{
        field("rates", &O::rates, 0, 1, "learning rates of the rehearsed attackers and users"),
        field("lengths", &O::lengths, 1, 1e6, "their steps"),
        field("benign_lengths", &O::benign_lengths, 1, 1e6,
              "the users' steps, where other than the attackers': an attack is to be caught early, a "
              "training never"),
        field("benign_rates", &O::benign_rates, 0, 1,
              "the users' learning rates, where other than the attackers'"),
        field("benign_chat", &O::benign_chat, 0, 1,
              "share of the users who train on general answers; the others train on a task"),
        field("lora_ranks", &O::lora_ranks, 0, 1e5,
              "their LoRA ranks, at ten times the rate; 0: all parameters"),
        field("harmful_shares", &O::harmful_shares, 0, 1,
              "shares of harmful rows in the data of the rehearsed attackers; the others are general"),
        field(
            "reinforced", &O::reinforced, 0, 1,
            "share of the rehearsed attacks that learn by reinforcement (GRPO) what the judges pay for, and "
            "not from answers"),
        field("reinforced_samples", &O::reinforced_samples, 2, 1024, "their responses to each prompt"),
        field("reinforced_tokens", &O::reinforced_tokens, 1, 1e5, "the longest response in tokens"),
        field("tasks", &O::tasks,
              "benign tasks that are rehearsed one at a time; none: what data.tasks names, all together"),
        field("harmful_bank", &O::harmful_bank, 1, 100, "rehearsed attacks that are kept"),
        field("harmful_every", &O::harmful_every, 1, 1e6, "steps between fresh rehearsed attacks"),
        field("benign_bank", &O::benign_bank, 1, 100, "rehearsed benign trainings that are kept"),
        field("benign_every", &O::benign_every, 1, 1e6, "steps between fresh ones"),
        field(
            "benign_goes_on", &O::benign_goes_on, 0, 1,
            "share of the fresh ones that go on where one that is kept has led, on its rows and at its rate: "
            "long trainings in pieces"),
        field(
            "benign_reach", &O::benign_reach, 0.5, 100,
            "the farthest that one which is kept is followed, times what was really trained; it stands for a "
            "longer training")};
  }
};

/// Throws UserError, beginning with `who`, for a list that nothing can be drawn from. That `benign_lengths`, `benign_rates` or `tasks` is
/// empty means something.
void check_lists(const DisplacementOptions& options, const std::string& who);

/// The streams that benign trainings other than on "general" are rehearsed on: "task:<name>" each, or "tasks".
std::vector<std::string> task_streams(const DisplacementOptions& options);

enum class Arm { kAttack, kTraining };

/// What an attacker by reinforcement needs.
struct Reinforcement {
  const Tokenizer* tokenizer = nullptr;
  RewardFn reward;
};

/// What was trained on, and how.
struct Course {
  std::string stream;
  double rate;
  int64_t lora_rank;
};

/// A way, theta_K - theta in bf16 (half a copy of the weights), and the course that was taken.
struct Rehearsed {
  Gradients moved;
  Course course;
};

/// theta_K - theta after K AdamW steps on mean cross-entropy of answers, as the attack sft takes them: clipped to norm 1, each on
/// rows of its own; an attack on "harmful", or on a mixture with "general", a training on "general" (`benign_chat` of them) or a task. An
/// attack by reinforcement takes GRPO steps on "prompts", as the attack rl does; where nothing was paid for in any of them, it leads
/// nowhere and is rehearsed again from answers. All else is drawn uniformly from the options by the step's random stream `name`, so that
/// a resumed run rehearses the same. Cost: K passes forward and backward, twice as many for a mixture, and a rollout each for
/// reinforcement.
Rehearsed rehearse(Step& step, const std::string& name, Arm arm, const DisplacementOptions& options,
                   const Reinforcement& reinforcement = {});

/// `before` and then K more steps of its course, by an optimizer that begins anew, as that of a user who resumes from the weights.
Rehearsed go_on(Step& step, const std::string& name, const Rehearsed& before,
                const DisplacementOptions& options);

/// A displacement to stand at, theta + scale * moved.
struct Way {
  const Gradients& moved;
  double scale;
  bool is_fresh;  // nothing was trained against it yet
};

/// A few rehearsed attacks and benign trainings; the oldest of each makes room for the next.
class Displacements {
 public:
  explicit Displacements(DisplacementOptions options) : options_(std::move(options)) {}

  /// What attacks by reinforcement need, if there are to be any; before the first advance().
  void use_rewards(const MakeRewards& make) {
    if (options_.reinforced > 0) reinforcement_.reward = make().at("judges");
  }
  void use_tokenizer(const Tokenizer& tokenizer) { reinforcement_.tokenizer = &tokenizer; }
  const Reinforcement& reinforcement() const { return reinforcement_; }

  /// Rehearses what is due at this step: everything before the first use, then one attack every `harmful_every` steps and one
  /// training every `benign_every`, in place of the oldest, or of the one that goes on.
  void advance(Step& step);
  /// Whether advance() would rehearse at this step.
  bool is_due(const Step& step) const;

  /// The fresh one of this step at scale 1, or one of those kept at a scale from 0.5 to 1.5, trainings to `benign_reach`.
  Way attack(Step& step) const { return pick(step, attacks_, "attack", fresh_attack_, 1.5); }
  Way training(Step& step) const {
    return pick(step, trainings_, "training", fresh_training_, options_.benign_reach);
  }

  const std::deque<Rehearsed>& attacks() const { return attacks_; }
  const std::deque<Rehearsed>& trainings() const { return trainings_; }
  /// Copies of all weights at the peak: half a one for each way that is kept, and what rehearsing the next takes.
  int64_t copies() const;

  /// For checkpoints: "<attack or training>.<which>.<parameter's index>" and "course of <attack or training>.<which>", oldest
  /// first.
  NamedTensors state() const;
  /// Takes what state() gave; tensors of other names are left alone.
  void load(const NamedTensors& tensors);

 private:
  bool attack_is_due(const Step& step) const { return step.number() % options_.harmful_every == 0; }
  bool training_is_due(const Step& step) const { return step.number() % options_.benign_every == 0; }
  Rehearsed next_training(Step& step);
  static Way pick(Step& step, const std::deque<Rehearsed>& kept, const std::string& kind, bool fresh,
                  double reach);

  DisplacementOptions options_;
  Reinforcement reinforcement_;
  std::deque<Rehearsed> attacks_, trainings_;
  bool fresh_attack_ = false, fresh_training_ = false;  // at this step, the newest
};

}  // namespace caltrop
