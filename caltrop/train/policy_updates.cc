#include "caltrop/train/policy_updates.h"

#include <chrono>
#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/data/micro_batches.h"
#include "caltrop/kernels/token_nll.h"
#include "caltrop/train/advantages.h"
#include "caltrop/train/trainer.h"

namespace caltrop {
namespace {

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

/// What one pass of the clipped loss finds beside it, summed over tokens.
struct Found {
  Tensor clipped, from_sampled, from_start;  // scalars; undefined before the first micro-batch
  static void add(Tensor& sum, const Tensor& terms) {
    sum = sum.defined() ? sum + terms.detach().sum() : terms.detach().sum();
  }
};

/// The policy loss and k3 to the start model in one pass. `start`: log p under that model for each micro-batch, empty without.
LossFn clipped_loss(const PolicyUpdates& updates, const PolicyOptions& options, std::vector<Tensor> start,
                    std::shared_ptr<Found> found) {
  const PolicyUpdates::Share& share = updates.present();
  const ClipOptions clip{options.clip_ratio, options.dual_clip};
  const std::vector<Tensor> advantages = updates.cut(share.advantages), sampled = updates.cut(share.sampled);
  const std::vector<Tensor> olds = share.old.defined() ? updates.cut(share.old) : std::vector<Tensor>();
  return {[=, weight = options.kl_loss](const LossInputs& in) {
    const auto part = static_cast<size_t>(in.part);
    const Tensor log_p = -token_nll(in.hidden, in.head, in.labels);
    const Tensor old = olds.empty() ? log_p.detach() : olds[part];
    Found::add(found->clipped, is_clipped(log_p.detach(), old, advantages[part], clip));
    Found::add(found->from_sampled, kl_k3(log_p.detach(), sampled[part]));
    Tensor terms = clipped_policy_terms(log_p, old, advantages[part], clip);
    if (!start.empty()) {
      const Tensor from_start = kl_k3(log_p, start[part]);
      Found::add(found->from_start, from_start);
      terms = terms + weight * from_start;
    }
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
  return {{"policy_loss", "", "",
           "clipped policy loss, a mean over tokens, with kl_loss times k3 where asked for"},
          {"reward", "", "", "mean reward of the rollout"},
          {"reward_spread", "", "", "standard deviation of rewards within groups, mean over groups"},
          {"tied_groups", "share", "",
           "groups whose rewards, less their KL, are all equal: of which grpo and rloo learn nothing"},
          {"entropy", "nats/token", "", "mean entropy of the responses"},
          {"response_length", "tokens", "", "mean length of the responses"},
          {"ended", "share", "", "responses that ended by themselves"},
          {"clip_fraction", "share", "", "tokens whose gradient the clipping took away"},
          {"rollout_speed", "tokens/s", "higher", "tokens generated, per second of the rollout"},
          {"update_speed", "tokens/s", "higher", "tokens of prompts and responses, per second of the update"},
          {"sampler_kl", "nats/token", "",
           "k3 from the policy that sampled to the one that learns: at the first update the rounding of "
           "decoding"},
          {"start_kl", "nats/token", "",
           "to the start model, where it is paid for: kl_estimate, or k3 in the loss"},
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
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!std::isfinite(rewards[i]))
      throw UserError("at step {} the response '{}' is paid {}: the model's own numbers are not finite",
                      step.number(), responses[i].text, rewards[i]);
  }
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
  Step all = step.over({{kResponses, micro_batches(rows_of(responses), rows_at_once_, device)}});
  const bool old_is_past = options_.updates > 1;
  Tensor log_p;
  if (old_is_past || options_.kl_in_reward > 0)
    log_p = at::cat(all.log_probabilities(kResponses, step.model()));
  PerToken token_rewards;
  for (size_t i = 0; i < responses.size(); ++i) {
    token_rewards.emplace_back(responses[i].log_p.size(), 0.0);
    token_rewards.back().back() = rewards[i];
  }
  if (options_.kl_in_reward > 0)
    scalars.emplace_back("start_kl", at::tensor(charge_kl(all, responses, log_p, token_rewards)));
  std::vector<double> summed;
  for (const std::vector<double>& of_response : token_rewards) {
    summed.push_back(0);
    for (const double reward : of_response) summed.back() += reward;
  }
  scalars.emplace_back("tied_groups", at::tensor(tied_groups(summed, groups)));

  PerToken advantages, returns, values;
  if (options_.algorithm == "ppo") {
    values = by_response(critic_->values(at::cat(all.hidden_of(kResponses, step.model()))), responses);
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
  const PerToken past = old_is_past ? by_response(log_p, responses) : PerToken();
  const auto parts = static_cast<size_t>(options_.updates),
             prompts = responses.size() / static_cast<size_t>(options_.samples);
  CALTROP_ASSERT(prompts >= parts, "{} prompts for {} updates", prompts, parts);
  for (size_t part = 0; part < parts; ++part) {
    const size_t begin = part * prompts / parts * static_cast<size_t>(options_.samples),
                 end = (part + 1) * prompts / parts * static_cast<size_t>(options_.samples);
    const auto of_part = [&](const PerToken& list) {
      return per_label(PerToken(list.begin() + static_cast<std::ptrdiff_t>(begin),
                                list.begin() + static_cast<std::ptrdiff_t>(end)),
                       device);
    };
    PerToken sampled;
    Share share;
    for (size_t i = begin; i < end; ++i) {
      share.rows.push_back(responses[i].row);
      sampled.emplace_back(responses[i].log_p.begin(), responses[i].log_p.end());
    }
    share.sampled = per_label(sampled, device);
    if (old_is_past) share.old = of_part(past);
    share.advantages = of_part(advantages);
    if (critic_) share.old_values = of_part(values), share.returns = of_part(returns);
    shares_.push_back(std::move(share));
  }
  return scalars;
}

double PolicyUpdates::charge_kl(Step& all, std::span<const Response> responses, const Tensor& log_p,
                                PerToken& token_rewards) const {
  const Tensor start = at::cat(all.log_probabilities(kResponses, *start_));
  const Tensor kl = options_.kl_estimate == "k3" ? kl_k3(log_p, start) : kl_k1(log_p, start);
  const PerToken of_tokens = by_response(kl, responses);
  for (size_t i = 0; i < of_tokens.size(); ++i) {
    for (size_t t = 0; t < of_tokens[i].size(); ++t)
      token_rewards[i][t] -= options_.kl_in_reward * of_tokens[i][t];
  }
  return kl.mean().item<double>();
}

Scalars PolicyUpdates::advance(Step& step, const std::string& stream, const Pay& pay) {
  if (!shares_.empty()) shares_.pop_front();  // the one of the step before
  rows_at_once_ = step.micro_batch_rows(stream) * options_.samples;
  return shares_.empty() ? roll_out_and_pay(step, stream, pay) : Scalars{};
}

Step PolicyUpdates::over_present(const Step& step) const {
  return step.over({{kResponses, micro_batches(present().rows, rows_at_once_, step.model().device())}});
}

std::vector<Tensor> PolicyUpdates::cut(const Tensor& of_labels) const {
  std::vector<int64_t> labels;
  const std::vector<TokenRow>& rows = present().rows;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (row % static_cast<size_t>(rows_at_once_) == 0) labels.push_back(0);
    labels.back() += std::count(rows[row].answer.begin(), rows[row].answer.end(), true);
  }
  return of_labels.split_with_sizes(labels);
}

Scalars PolicyUpdates::learn(Step& step) {
  const auto begin = Clock::now();
  const Share& share = present();
  Step on = over_present(step);
  std::vector<Tensor> start;
  if (options_.kl_loss > 0) start = on.log_probabilities(kResponses, *start_);
  const auto found = std::make_shared<Found>();
  Scalars scalars{{"policy_loss", on.accumulate(kResponses, clipped_loss(*this, options_, start, found))}};
  const int64_t labels = share.advantages.size(0);
  scalars.emplace_back("clip_fraction", found->clipped / labels);
  scalars.emplace_back("sampler_kl", found->from_sampled / labels);
  if (found->from_start.defined() && options_.kl_in_reward == 0)
    scalars.emplace_back("start_kl", found->from_start / labels);
  if (critic_) {
    const Tensor hidden = at::cat(on.hidden_of(kResponses, step.model()));
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
  const LossFn loss = clipped_loss(*this, options_, {}, std::make_shared<Found>());
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
    add("sampled", share.sampled), add("advantages", share.advantages), add("old", share.old);
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
    Share share{{}, get("sampled"), get("advantages"), get("old"), get("old_values"), get("returns")};
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
