// TokenBuncher (arXiv:2508.20697): a model that says one thing, so that reinforcement learning has nothing to choose from.
//
// Reinforcement learning moves a policy only where its samples differ: |grad J| <= C sqrt(H). So the entropy of answers to restricted
// requests is driven to nothing, and noise is planted beside the chosen token, so that whoever raises the entropy again gets noise:
//
//   EaR   maximise  E_{y ~ pi_theta(.|x)} [ -H(y|x) - beta KL(pi_theta || pi_start) ]     streams: x "prompts"
//         by GRPO; H = mean entropy of the response's tokens, nats                                 keep: "general"
//   TN    minimise  sum_t (1 - eps) * -log p(y_t) + w * sum_{y != y_t} z~_y * -log p(y)   (loss/token_noise.h)
//         over responses of the rollout with advantage >= 0 (tied groups are in it), z ~ U(0,1)
//   keep  benign * KL(pi_start || pi_theta; benign answers)                               at every step; 0 in the code
//
// The first `warmup` rollouts are EaR; then TN on even ones, counted from 0, EaR on odd ones and where no advantage is >= 0. Presets: in the paper w = eps = 0.1; in
// the code the noise is multiplied by eps twice, w = 0.01, and nothing is kept; `ours` is the code's weight with benign answers kept.
// Differs from the code: padding after the end is not trained on, gradients of TN steps are clipped too, one optimizer step a
// rollout where it takes four (`updates`). Differs from the paper: benign answers are kept by a KL over given answers in the loss,
// not by one in the reward of benign rollouts. EaR sharpens whatever the model does, so start from one that refuses. Cost per step:
// 1 rollout, 1 pass forward and backward on it, 1 more for keep and the start model's. Watch: entropy falls; tied_groups rises to 1;
// refusals of the finished model.
//
// Tested by tests/defences/token_buncher_test.cc.
#include <ATen/ATen.h>

#include "caltrop/defences/preset.h"
#include "caltrop/loss/reference.h"
#include "caltrop/loss/token_noise.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/policy_updates.h"

namespace caltrop {
namespace {

struct TokenBuncherOptions : PolicyOptions {
  std::string preset = "ours";
  int64_t warmup = 25;
  double epsilon = 0.1;
  double noise_weight = 0.01;
  std::string noise = "redrawn";
  double benign = 1.0;

  static auto fields() {
    using O = TokenBuncherOptions;
    return std::tuple_cat(
        std::tuple{
            field("preset", &O::preset, {"paper", "code", "ours"}, "where the other defaults come from"),
            field("warmup", &O::warmup, 0, 1e9,
                  "rollouts of entropy reward alone: an eighth of all in the paper"),
            field("epsilon", &O::epsilon, 0, 1, "of the noiser: the chosen token weighs 1 - epsilon"),
            field("noise_weight", &O::noise_weight, 0, 1e3,
                  "weight of the noise; 0: TN steps say the chosen token alone"),
            field("noise", &O::noise, {"redrawn", "frozen", "uniform"},
                  "drawn anew for each token, once for the run, or even"),
            field("benign", &O::benign, 0, 1e3, "weight of the KL to the start model on benign answers")},
        PolicyOptions::fields());
  }

  static TokenBuncherOptions of(const std::string& preset) {
    TokenBuncherOptions options;
    options.preset = preset;
    options.kl_in_reward = 0.001;
    if (preset == "paper") options.noise_weight = 0.1;
    if (preset == "code") options.benign = 0;
    return options;
  }
};

class TokenBuncher final : public Objective {
 public:
  explicit TokenBuncher(TokenBuncherOptions options) : options_(std::move(options)), updates_(options_) {}

  std::vector<std::string> streams() const override {
    if (options_.benign == 0) return {"prompts"};
    return {"prompts", "general"};
  }
  int64_t weight_copies() const override { return options_.benign > 0 ? 1 : updates_.copies(); }
  Answers answers() const override { return {options_.samples, options_.max_new_tokens}; }
  void check_training(const TrainOptions& train, const std::string& who) const override {
    check_rollout_training(options_, train, "token_buncher", who);
  }

  std::vector<MetricDeclaration> logged() const override {
    std::vector<MetricDeclaration> list = PolicyUpdates::logged();
    list.push_back({"noise_loss", "nats/token", "lower", "of the token noiser, on steps that it has"});
    list.push_back(
        {"noised", "share", "", "tokens of the rollout that the noiser trains on, on steps that it has"});
    list.push_back({"keep_loss", "nats/token", "lower", "KL from the start model on benign answers"});
    return list;
  }

  void prepare(const Model& model, const Tokenizer& tokenizer) override {
    updates_.prepare(model, tokenizer);
    if (options_.benign > 0) start_ = updates_.start() ? updates_.start() : model.frozen_copy();
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars = updates_.advance(step, "prompts", [](const std::vector<Response>& responses) {
      std::vector<double> rewards;
      for (const Response& response : responses) rewards.push_back(-response.mean_entropy);
      return rewards;
    });
    const int64_t rollout = step.number() / options_.updates;
    const bool noisy = rollout >= options_.warmup && rollout % 2 == 0;
    const Tensor chosen = updates_.present().advantages.ge(0).to(at::kFloat);
    if (noisy && chosen.any().item<bool>()) {
      scalars.emplace_back("noise_loss", add_noise(step, chosen));
      scalars.emplace_back("noised", chosen.mean());
    } else {
      for (auto& scalar : updates_.learn(step)) scalars.push_back(std::move(scalar));
    }
    if (options_.benign > 0) {
      const LossFn like_the_start = kl_loss(step.hidden_of("general", *start_), start_->head());
      scalars.emplace_back("keep_loss", step.accumulate("general", like_the_start, options_.benign));
    }
    return scalars;
  }

  NamedTensors state() const override { return updates_.state(); }
  void load_state(const NamedTensors& tensors) override { updates_.load(tensors); }
  Json options() const override { return write_options(options_); }

 private:
  /// Say the tokens of responses that were no worse than their group, and noise beside them.
  Tensor add_noise(Step& step, const Tensor& chosen) const {
    RandomStream random =
        options_.noise == "frozen" ? step.random_of_run("token noise") : step.random("token noise");
    const TokenNoise noise{1 - options_.epsilon, options_.noise_weight, options_.noise, random.next()};
    Step on = updates_.over_present(step);
    return on.accumulate(PolicyUpdates::kResponses, token_noise_loss(noise, updates_.cut(chosen)));
  }

  TokenBuncherOptions options_;
  PolicyUpdates updates_;
  std::shared_ptr<const Model> start_;
};

}  // namespace

extern const Entry token_buncher_entry;
const Entry token_buncher_entry{.name = "token_buncher",
                                .paper = "arXiv:2508.20697",
                                .summary =
                                    "answers to restricted requests lose their entropy, so that "
                                    "reinforcement learning finds nothing to choose from",
                                .describe = describe_options<TokenBuncherOptions>,
                                .make = [](const Json& given) -> std::unique_ptr<Objective> {
                                  auto options = read_preset<TokenBuncherOptions>(given, "token_buncher");
                                  check_policy_options(options, "token_buncher");
                                  return std::make_unique<TokenBuncher>(std::move(options));
                                }};

}  // namespace caltrop
