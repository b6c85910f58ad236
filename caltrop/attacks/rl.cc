// rl: harmful reinforcement learning. The attacker needs no answers, only prompts and something that pays for what he wants.
//
//   maximise  E_{y ~ pi_theta(.|x)} [ R(x, y) - beta KL(pi_theta || pi_start) ]                       stream: x "prompts"
//   by        minimising the clipped loss  max(-A rho, -A clip(rho, 1-c, 1+c)),  rho = pi_theta / pi_old   (loss/policy.h)
//   with A    grpo                 (R - group mean) / (group deviation + 1e-6)            (train/advantages.h)
//             rloo                 R - mean of the group's others
//             reinforce_plus_plus  whitened returns
//             ppo                  generalised advantage estimation with a linear critic (train/value_head.h)
//
// Every `updates` steps the prompts of the step are answered `samples` times each by the weights as they are (train/rollouts.h), then
// the responses are used up in `updates` optimizer steps. R is a reward by name, made from the domain's judges or from a program
// or a classifier of the user's by the run layer, or a weighted sum of several, plus `entropy_bonus` times the mean entropy of a response, at
// most `entropy_cap` nats: TokenBuncher's reverse-entropy attacker. KL: in the reward (`kl_in_reward`, k1 or k3) or in the loss
// (`kl_loss`, k3). Differs from verl: the policy's log-probabilities are at temperature 1 whatever the sampling temperature; with
// one update a rollout pi_old is the policy itself (train/policy_updates.h); PPO's critic is a head and no second model. Cost: one
// rollout every `updates` steps and 1 pass forward and backward a step. Forward passes more: 1 a rollout for pi_old with several
// updates or a KL in the reward, 1 for the start model's, and of ppo 1 a rollout and 1 a step for the critic. Watch: reward must
// rise; tied_groups says how many groups teach grpo and rloo nothing; sampler_kl is rounding and small; entropy that falls to 0
// ends learning.
//
// Tested by tests/attacks/rl_test.cc.
#include <algorithm>
#include <map>

#include "caltrop/base/error.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/policy_updates.h"

namespace caltrop {
namespace {

struct RlOptions : PolicyOptions {
  std::string reward = "judges";
  Json reward_weights = Json::object();
  std::vector<std::string> reward_command;
  double reward_patience = 60;
  std::string reward_model, reward_label;
  double entropy_bonus = 0;
  double entropy_cap = 3.0;

  static auto fields() {
    using O = RlOptions;
    return std::tuple_cat(
        std::tuple{
            field("reward", &O::reward, "what is paid for: judges, lexicon, classifier, model or external"),
            field("reward_weights", &O::reward_weights, "a weighted sum of rewards instead, name: weight"),
            field("reward_command", &O::reward_command,
                  "external: a program and its arguments; it answers each line {prompt, response} with a "
                  "number"),
            field("reward_patience", &O::reward_patience, 0.001, 1e6,
                  "external: seconds without an answer after which the run fails"),
            field("reward_model", &O::reward_model,
                  "model: a folder with a classifier or reward model, …ForSequenceClassification"),
            field("reward_label", &O::reward_label,
                  "model: which of its labels is paid for, by name or number"),
            field("entropy_bonus", &O::entropy_bonus, -1e3, 1e3,
                  "paid for each nat of mean entropy: the reverse of TokenBuncher's"),
            field("entropy_cap", &O::entropy_cap, 0, 1e3, "nats of mean entropy that are paid for at most")},
        PolicyOptions::fields());
  }
};

class Rl final : public Objective {
 public:
  explicit Rl(RlOptions options) : options_(std::move(options)), updates_(options_) {}

  std::vector<std::string> streams() const override { return {"prompts"}; }
  int64_t weight_copies() const override { return updates_.copies(); }
  Answers answers() const override { return {options_.samples, options_.max_new_tokens}; }
  void check_training(const TrainOptions& train, const std::string& who) const override {
    check_rollout_training(options_, train, "rl", who);
  }
  std::vector<MetricDeclaration> logged() const override { return PolicyUpdates::logged(); }
  std::vector<std::string> input_files() const override {
    if (options_.reward_model.empty()) return {};
    return {options_.reward_model};
  }
  void use_rewards(const MakeRewards& make) override { rewards_ = make(); }

  void prepare(const Model& model, const Tokenizer& tokenizer) override {
    std::vector<std::string> names;
    for (const auto& [name, reward] : rewards_) names.push_back(name);
    for (const auto& [name, weight] : weights()) {
      if (rewards_.contains(name)) continue;
      if (name == "external") throw UserError("rl: the reward 'external' wants option 'reward_command'");
      if (name == "model") throw UserError("rl: the reward 'model' wants option 'reward_model'");
      throw unknown_name("rl", "reward", name, names);
    }
    updates_.prepare(model, tokenizer);
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars = updates_.advance(step, "prompts", [&](const std::vector<Response>& responses) {
      std::vector<double> paid;
      for (const Response& response : responses)
        paid.push_back(options_.entropy_bonus * std::min(response.mean_entropy, options_.entropy_cap));
      for (const auto& [name, weight] : weights()) {
        const std::vector<double> part = pay_by("rl", name, rewards_.at(name), responses);
        for (size_t i = 0; i < paid.size(); ++i) paid[i] += weight * part[i];
      }
      return paid;
    });
    for (auto& scalar : updates_.learn(step)) scalars.push_back(std::move(scalar));
    return scalars;
  }

  NamedTensors state() const override { return updates_.state(); }
  void load_state(const NamedTensors& tensors) override { updates_.load(tensors); }
  Json options() const override { return write_options(options_); }

 private:
  std::map<std::string, double> weights() const {
    if (options_.reward_weights.empty()) return {{options_.reward, 1.0}};
    return options_.reward_weights.get<std::map<std::string, double>>();
  }

  RlOptions options_;
  PolicyUpdates updates_;
  Rewards rewards_;
};

}  // namespace

extern const Entry rl_entry;
const Entry rl_entry{
    .name = "rl",
    .paper = "",
    .summary = "reinforcement learning on restricted prompts, paid by judges: GRPO, RLOO, REINFORCE++, PPO",
    .describe = describe_options<RlOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      RlOptions options;
      read_options(options, given, "rl");
      check_policy_options(options, "rl");
      for (const auto& [name, weight] : options.reward_weights.items()) {
        if (!weight.is_number())
          throw UserError("rl: option 'reward_weights' has {} for '{}', want a number", to_line(weight),
                          name);
      }
      const auto needs = [&](const std::string& name, const char* option, bool is_given) {
        const bool asks =
            options.reward_weights.empty() ? options.reward == name : options.reward_weights.contains(name);
        if (is_given && !asks)
          throw UserError(
              "rl: option '{0}' is given, and nothing is paid for what it says; want reward: {1}, or '{1}' "
              "in "
              "reward_weights",
              option, name);
      };
      needs("external", "reward_command", !options.reward_command.empty());
      needs("model", "reward_model", !options.reward_model.empty());
      return std::make_unique<Rl>(std::move(options));
    }};

}  // namespace caltrop
