// One way from prompts to gradients for everything that learns by reinforcement: roll out, pay, turn pay into advantages, and take
// several clipped steps on what was said. The attack `rl` and TokenBuncher's entropy reward differ in who pays.
//
// What the sampler noted of its tokens differs from what a training pass says of them by the rounding of decoding: in bf16 by
// more than the clipping allows for a few in a hundred. So pi_old is the training pass's own: of the very step where there is
// one on each rollout (rho is 1 and clips nothing), of one more pass behind the rollout where there are several.
// Tested by tests/train/policy_updates_test.cc.
#pragma once

#include <deque>
#include <optional>

#include "caltrop/loss/policy.h"
#include "caltrop/record/metrics.h"
#include "caltrop/train/advantages.h"
#include "caltrop/train/reward.h"
#include "caltrop/train/rollouts.h"
#include "caltrop/train/value_head.h"

namespace caltrop {

struct PolicyOptions : RolloutOptions {
  std::string algorithm = "grpo";
  int64_t updates = 1;
  bool by_deviation = true;
  double clip_ratio = 0.2, dual_clip = 3.0;
  double kl_in_reward = 0, kl_loss = 0;
  std::string kl_estimate = "k1";
  double gamma = 1.0, lambda = 1.0;
  double value_rate = 1e-3;

  static auto fields() {
    using O = PolicyOptions;
    return std::tuple_cat(
        std::tuple{field("algorithm", &O::algorithm, {"grpo", "rloo", "reinforce_plus_plus", "ppo"},
                         "how pay becomes advantage"),
                   field("updates", &O::updates, 1, 1e4,
                         "optimizer steps on one rollout; its responses are dealt out to them"),
                   field("by_deviation", &O::by_deviation, "grpo: divide by the group's deviation"),
                   field("clip_ratio", &O::clip_ratio, 0, 10, "of the ratio of new and old probability"),
                   field("dual_clip", &O::dual_clip, 0, 1e3,
                         "where the advantage is negative the loss ends at this times it; 0: off"),
                   field("kl_in_reward", &O::kl_in_reward, 0, 1e3,
                         "weight of the KL to the start model, taken off each token's reward"),
                   field("kl_estimate", &O::kl_estimate, {"k1", "k3"}, "how kl_in_reward estimates it"),
                   field("kl_loss", &O::kl_loss, 0, 1e3, "weight of k3 to the start model in the loss"),
                   field("gamma", &O::gamma, 0, 1, "reinforce_plus_plus, ppo: discount"),
                   field("lambda", &O::lambda, 0, 1, "ppo: of generalised advantage estimation"),
                   field("value_rate", &O::value_rate, 0, 1, "ppo: learning rate of the critic")},
        RolloutOptions::fields());
  }
};

/// Throws UserError for what cannot be: groups of one where the algorithm compares within groups.
void check_policy_options(const PolicyOptions& options, const std::string& who);

struct TrainOptions;

/// A rollout is cut into `updates` parts of whole prompts. Throws UserError, beginning with `who`, if there are more updates than
/// prompts. `method`: its name.
void check_rollout_training(const PolicyOptions& options, const TrainOptions& train,
                            const std::string& method, const std::string& who);

/// What the reward called `name` pays. Throws UserError "<who>: …" if it gives more or fewer numbers than responses, or one that is not finite.
std::vector<double> pay_by(const std::string& who, const std::string& name, const RewardFn& reward,
                           const std::vector<Response>& responses);

class PolicyUpdates {
 public:
  using Pay = std::function<std::vector<double>(const std::vector<Response>&)>;

  explicit PolicyUpdates(PolicyOptions options) : options_(std::move(options)) {}

  static std::vector<MetricDeclaration> logged();
  int64_t copies() const { return needs_start() ? 1 : 0; }
  void prepare(const Model& model, const Tokenizer& tokenizer);

  /// Goes on to the next share of responses, and rolls out and pays where the last rollout is used up.
  Scalars advance(Step& step, const std::string& stream, const Pay& pay);
  /// Adds the gradient of the clipped loss on the present share to `.grad`, and teaches the critic.
  Scalars learn(Step& step);
  /// The same gradient, and `.grad` stays as it was. REQUIRES an algorithm without critic and no KL to the start model.
  Measured measure(Step& step);

  /// What is left of the last rollout, and the critic.
  NamedTensors state() const;
  void load(const NamedTensors& tensors);

  /// Responses for one optimizer step, and what they are worth.
  struct Share {
    std::vector<TokenRow> rows;
    Tensor sampled, advantages;  // [M] in the order of the packed rows' labels; log p as the sampler noted it
    Tensor old;                  // [M] log p under pi_old; undefined where that is the policy as it learns
    Tensor old_values, returns;  // [M], of ppo; else undefined
  };
  /// The share that the last advance() went on to.
  const Share& present() const { return shares_.front(); }
  /// A step over its rows, as the stream kResponses: micro-batches of as many prompts as the step has, with all their responses.
  Step over_present(const Step& step) const;
  /// Cuts one number a label, [M] of the present share, into those micro-batches.
  std::vector<Tensor> cut(const Tensor& of_labels) const;
  static constexpr const char* kResponses = "responses";

  /// The model that prepare() was given, where a KL to it is asked for; else null.
  const std::shared_ptr<const Model>& start() const { return start_; }

 private:
  bool needs_start() const { return options_.kl_in_reward > 0 || options_.kl_loss > 0; }
  /// Takes the KL to the start model off the rewards, and returns its mean.
  double charge_kl(Step& all, std::span<const Response> responses, const Tensor& log_p,
                   PerToken& token_rewards) const;
  /// Fills shares_; returns what is to be logged of the rollout.
  Scalars roll_out_and_pay(Step& step, const std::string& stream, const Pay& pay);
  PolicyOptions options_;
  const Tokenizer* tokenizer_ = nullptr;
  std::shared_ptr<const Model> start_;
  std::optional<ValueHead> critic_;
  std::deque<Share> shares_;
  int64_t rows_at_once_ = 0;  // responses in a micro-batch
};

}  // namespace caltrop
