#include "caltrop/train/policy_updates.h"

#include <chrono>
#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/token_nll.h"
#include "caltrop/train/advantages.h"
#include "caltrop/train/trainer.h"

namespace caltrop {
namespace {

const char* const kResponses = "responses";

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// The mean over groups of the standard deviation of their rewards.
double spread_within_groups(const std::vector<double>& rewards, int64_t samples) {
  const Tensor groups = at::tensor(rewards, at::kDouble).view({-1, samples});
  return samples > 1 ? groups.std(1).mean().item<double>() : 0;
}

/// Cuts a list of one number a token, [M] on the CPU, into one list a response.
PerToken by_response(const Tensor& of_labels, std::span<const Response> responses) {
  const Tensor values = of_labels.to(at::kCPU, at::kFloat).contiguous();
  const float* next = values.const_data_ptr<float>();
  PerToken cut;
  for (const Response& response : responses) {
    cut.emplace_back(next, next + response.log_p.size());
    next += response.log_p.size();
  }
  return cut;
}

using Clock = std::chrono::steady_clock;
Tensor per_second(int64_t tokens, Clock::time_point start) {
  return at::tensor(static_cast<double>(tokens) /
                    std::chrono::duration<double>(Clock::now() - start).count());
}

/// The policy loss and k3 to the start model in one pass, which leaves the share of clipped tokens in `clipped`.
LossFn clipped_loss(const PolicyUpdates::Share& share, const PolicyOptions& options,
                    const Tensor& start_log_p, std::shared_ptr<Tensor> clipped) {
  const ClipOptions clip{options.clip_ratio, options.dual_clip};
  return {[=](const LossInputs& in) {
    const Tensor log_p = -token_nll(in.hidden, in.head, in.labels);
    *clipped = is_clipped(log_p.detach(), share.old, share.advantages, clip).mean();
    Tensor terms = clipped_policy_terms(log_p, share.old, share.advantages, clip);
    if (options.kl_loss > 0) terms = terms + options.kl_loss * kl_k3(log_p, start_log_p);
    return Total{terms.sum(), in.labels.size(0)};
  }};
}

}  // namespace

void check_policy_options(const PolicyOptions& options, const std::string& who) {
  if (options.samples < 2 && (options.algorithm == "grpo" || options.algorithm == "rloo")) {
    throw UserError("{}: {} compares the responses to one prompt and needs 'samples' of at least 2, not {}",
                    who, options.algorithm, options.samples);
  }
  if (options.temperature == 0)
    throw UserError("{}: 'temperature' is 0: all responses to a prompt would be the same", who);
}

void check_rollout_training(const PolicyOptions& options, const TrainOptions& train,
                            const std::string& method, const std::string& who) {
  if (options.updates > train.batch)
    throw UserError(
        "{}: {}: option 'updates' is {}, and a rollout of train.batch {} prompts cannot be cut into more "
        "parts than that",
        who, method, options.updates, train.batch);
  if (train.micro_batch > 0)
    throw UserError(
        "{}: 'train.micro_batch' does not cut the responses of {}; a smaller train.batch, or "
        "options.samples, needs less",
        who, method);
}

std::vector<double> pay_by(const std::string& who, const std::string& name, const RewardFn& reward,
                           const std::vector<Response>& responses) {
  std::vector<std::string> prompts, texts;
  for (const Response& response : responses)
    prompts.push_back(response.prompt), texts.push_back(response.text);
  std::vector<double> rewards = reward(prompts, texts);
  if (rewards.size() != texts.size()) {
    throw UserError("{}: the reward '{}' gave {} numbers for {} responses", who, name, rewards.size(),
                    texts.size());
  }
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!std::isfinite(rewards[i]))
      throw UserError("{}: the reward '{}' gave {} for the response '{}'", who, name, rewards[i], texts[i]);
  }
  return rewards;
}

std::vector<MetricDeclaration> PolicyUpdates::logged() {
  return {{"policy_loss", "", "", "clipped policy loss, a mean over tokens"},
          {"reward", "", "", "mean reward of the rollout"},
          {"reward_spread", "", "", "standard deviation of rewards within groups, mean over groups"},
          {"tied_groups", "share", "",
           "groups whose rewards, less their KL, are all equal: from which nothing is learnt"},
          {"entropy", "nats/token", "", "mean entropy of the responses"},
          {"response_length", "tokens", "", "mean length of the responses"},
          {"ended", "share", "", "responses that ended by themselves"},
          {"clip_fraction", "share", "", "tokens whose gradient the clipping took away"},
          {"rollout_speed", "tokens/s", "higher", "tokens generated, per second of the rollout"},
          {"update_speed", "tokens/s", "higher", "tokens of prompts and responses, per second of the update"},
          {"start_kl", "nats/token", "", "k1 to the start model over the rollout"},
          {"value_loss", "", "lower", "of the critic"}};
}

void PolicyUpdates::prepare(const Model& model, const Tokenizer& tokenizer) {
  tokenizer_ = &tokenizer;
  if (needs_start()) start_ = model.frozen_copy();
  if (options_.algorithm == "ppo") critic_.emplace(model.config().width, options_.value_rate, model.device());
}

Scalars PolicyUpdates::roll_out_and_pay(Step& step, const std::string& stream, const Pay& pay) {
  const auto begin_of_rollout = Clock::now();
  const std::vector<Response> responses = roll_out(step, step.rows(stream), *tokenizer_, options_);
  int64_t generated = 0;
  for (const Response& response : responses) generated += static_cast<int64_t>(response.log_p.size());
  const Tensor speed = per_second(generated, begin_of_rollout);
  const std::vector<double> rewards = pay(responses);
  const at::Device device = step.model().device();
  std::vector<int64_t> groups;
  double entropy = 0, ended = 0;
  for (const Response& response : responses) {
    groups.push_back(response.group);
    entropy += response.mean_entropy, ended += response.ended;
  }
  const auto count = static_cast<double>(responses.size());
  Scalars scalars{{"reward", at::tensor(mean_of(rewards))},
                  {"reward_spread", at::tensor(spread_within_groups(rewards, options_.samples))},
                  {"entropy", at::tensor(entropy / count)},
                  {"response_length", at::tensor(static_cast<double>(generated) / count)},
                  {"ended", at::tensor(ended / count)},
                  {"rollout_speed", speed}};

  // Pay comes with the last token; the KL to the start model is taken off every token.
  Step all = step.over({{kResponses, {pack_responses(responses, device)}}});
  PerToken token_rewards;
  for (size_t i = 0; i < responses.size(); ++i) {
    token_rewards.emplace_back(responses[i].log_p.size(), 0.0);
    token_rewards.back().back() = rewards[i];
  }
  if (options_.kl_in_reward > 0) {
    const PerToken start = by_response(all.log_probabilities(kResponses, *start_).front(), responses);
    double kl = 0, tokens = 0;
    for (size_t i = 0; i < responses.size(); ++i) {
      for (size_t t = 0; t < start[i].size(); ++t) {
        const double k1 = static_cast<double>(responses[i].log_p[t]) - start[i][t];
        token_rewards[i][t] -= options_.kl_in_reward * k1;
        kl += k1, tokens += 1;
      }
    }
    scalars.emplace_back("start_kl", at::tensor(kl / tokens));
  }
  std::vector<double> summed;
  for (const std::vector<double>& of_response : token_rewards) {
    summed.push_back(0);
    for (const double reward : of_response) summed.back() += reward;
  }
  scalars.emplace_back("tied_groups", at::tensor(tied_groups(summed, groups)));

  PerToken advantages, returns, values;
  if (options_.algorithm == "ppo") {
    values = by_response(critic_->values(all.hidden_of(kResponses, step.model()).front()), responses);
    ValueTargets targets = gae_advantages(token_rewards, values, options_.gamma, options_.lambda);
    advantages = std::move(targets.advantages), returns = std::move(targets.returns);
  } else if (options_.algorithm == "reinforce_plus_plus") {
    advantages = reinforce_plus_plus_advantages(token_rewards, options_.gamma);
  } else {
    const std::vector<double> of_response = options_.algorithm == "rloo"
                                                ? rloo_advantages(summed, groups)
                                                : grpo_advantages(summed, groups, options_.by_deviation);
    for (size_t i = 0; i < responses.size(); ++i)
      advantages.emplace_back(responses[i].log_p.size(), of_response[i]);
  }

  // Whole groups are dealt out, in order.
  const auto parts = static_cast<size_t>(options_.updates),
             prompts = responses.size() / static_cast<size_t>(options_.samples);
  CALTROP_ASSERT(prompts >= parts, "{} prompts for {} updates", prompts, parts);
  for (size_t part = 0; part < parts; ++part) {
    const size_t begin = part * prompts / parts * static_cast<size_t>(options_.samples),
                 end = (part + 1) * prompts / parts * static_cast<size_t>(options_.samples);
    const auto cut = [&](const PerToken& list) {
      return per_label(PerToken(list.begin() + static_cast<std::ptrdiff_t>(begin),
                                list.begin() + static_cast<std::ptrdiff_t>(end)),
                       device);
    };
    PerToken old;
    Share share;
    for (size_t i = begin; i < end; ++i) {
      share.rows.push_back(responses[i].row);
      old.emplace_back(responses[i].log_p.begin(), responses[i].log_p.end());
    }
    share.old = per_label(old, device);
    share.advantages = cut(advantages);
    if (critic_) share.old_values = cut(values), share.returns = cut(returns);
    shares_.push_back(std::move(share));
  }
  return scalars;
}

Scalars PolicyUpdates::advance(Step& step, const std::string& stream, const Pay& pay) {
  if (!shares_.empty()) shares_.pop_front();  // the one of the step before
  return shares_.empty() ? roll_out_and_pay(step, stream, pay) : Scalars{};
}

Step PolicyUpdates::over_present(const Step& step) const {
  return step.over({{kResponses, {pack(present().rows, step.model().device())}}});
}

Scalars PolicyUpdates::learn(Step& step) {
  const auto begin = Clock::now();
  const Share& share = present();
  Step on = over_present(step);
  const Tensor start = options_.kl_loss > 0 ? on.log_probabilities(kResponses, *start_).front() : Tensor();
  const auto clipped = std::make_shared<Tensor>();
  Scalars scalars{{"policy_loss", on.accumulate(kResponses, clipped_loss(share, options_, start, clipped))}};
  scalars.emplace_back("clip_fraction", *clipped);
  if (critic_) {
    const Tensor hidden = on.hidden_of(kResponses, step.model()).front();
    scalars.emplace_back("value_loss",
                         at::tensor(critic_->train(hidden, share.old_values, share.returns, 0.5)));
  }
  int64_t tokens = 0;
  for (const TokenRow& row : share.rows) tokens += static_cast<int64_t>(row.ids.size());
  scalars.emplace_back("update_speed", per_second(tokens, begin));
  return scalars;
}

Measured PolicyUpdates::measure(Step& step) {
  CALTROP_ASSERT(!critic_ && !needs_start(), "{} has more to learn than a gradient", options_.algorithm);
  const LossFn loss = clipped_loss(present(), options_, {}, std::make_shared<Tensor>());
  return over_present(step).measure(kResponses, loss);
}

NamedTensors PolicyUpdates::state() const {
  NamedTensors tensors;
  for (size_t k = 0; k < shares_.size(); ++k) {
    const Share& share = shares_[k];
    std::vector<int64_t> ids, lengths, answers_from;
    for (const TokenRow& row : share.rows) {
      ids.insert(ids.end(), row.ids.begin(), row.ids.end());
      lengths.push_back(static_cast<int64_t>(row.ids.size()));
      answers_from.push_back(std::find(row.answer.begin(), row.answer.end(), true) - row.answer.begin());
    }
    const auto add = [&](const char* name, const Tensor& tensor) {
      if (tensor.defined()) tensors.emplace_back(fmt::format("share.{}.{}", k, name), tensor);
    };
    add("ids", at::tensor(ids)), add("lengths", at::tensor(lengths)),
        add("answers_from", at::tensor(answers_from));
    add("old", share.old), add("advantages", share.advantages);
    add("old_values", share.old_values), add("returns", share.returns);
  }
  if (critic_) {
    for (auto& tensor : critic_->state()) tensors.push_back(std::move(tensor));
    tensors.emplace_back("value.steps", at::tensor({critic_->steps()}));
  }
  return tensors;
}

void PolicyUpdates::load(const NamedTensors& tensors) {
  const std::map<std::string, Tensor> by_name(tensors.begin(), tensors.end());
  shares_.clear();
  for (size_t k = 0; by_name.contains(fmt::format("share.{}.ids", k)); ++k) {
    const auto get = [&](const char* name) {
      const auto found = by_name.find(fmt::format("share.{}.{}", k, name));
      return found == by_name.end() ? Tensor() : found->second;
    };
    const auto on_cpu = [&](const char* name) { return get(name).cpu().contiguous(); };
    const Tensor ids = on_cpu("ids"), lengths = on_cpu("lengths"), from = on_cpu("answers_from");
    Share share{{}, get("old"), get("advantages"), get("old_values"), get("returns")};
    const int64_t* next = ids.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < lengths.size(0); ++row) {
      const int64_t length = lengths.const_data_ptr<int64_t>()[row],
                    start = from.const_data_ptr<int64_t>()[row];
      TokenRow one{std::vector<int64_t>(next, next + length),
                   std::vector<bool>(static_cast<size_t>(length), true)};
      std::fill_n(one.answer.begin(), start, false);
      share.rows.push_back(std::move(one));
      next += length;
    }
    shares_.push_back(std::move(share));
  }
  if (critic_) {
    const at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : critic_->state()) {
      const Tensor target = tensor;
      target.copy_(by_name.at(name));
    }
    critic_->set_steps(by_name.at("value.steps").item<int64_t>());
  }
}

}  // namespace caltrop
