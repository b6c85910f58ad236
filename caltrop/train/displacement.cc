#include "caltrop/train/displacement.h"

#include <algorithm>
#include <map>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/policy_updates.h"

namespace caltrop {
namespace {

/// Whose steps are rehearsed, and how.
struct Plan {
  std::string name, stream;
  double rate = 0, share = 1;  // share: of the rows of `stream`; the others are general
  int64_t length = 0;
  LoraOptions lora = {};
};

Gradients from_answers(Step& step, const Plan& plan, const std::string& random_name) {
  const std::vector<std::string> streams =
      plan.share == 1 ? std::vector{plan.stream} : std::vector<std::string>{plan.stream, "general"};
  Step rows = step.fresh(random_name, streams);
  Gradients gradients = rows.measure(plan.stream, answer_loss()).gradients;
  if (plan.share < 1) {
    const Gradients general = rows.measure("general", answer_loss()).gradients;
    for (size_t i = 0; i < gradients.size(); ++i)
      gradients[i].mul_(plan.share).add_(general[i], 1 - plan.share);
  }
  return gradients;
}

Gradients by_reinforcement(Step& step, PolicyUpdates& updates, const RewardFn& reward,
                           const std::string& random_name) {
  Step rows = step.fresh(random_name, {"prompts"});
  updates.advance(rows, "prompts", [&](const std::vector<Response>& responses) {
    return pay_by("rehearsal", "judges", reward, responses);
  });
  return updates.measure(rows).gradients;
}

/// theta_K - theta. `updates`: of an attack by reinforcement, or null.
Gradients walk(Step& step, const Plan& plan, PolicyUpdates* updates, const RewardFn& reward) {
  Rehearsal rehearsal(step.model(), OptimizerOptions{}, plan.lora, step.random(plan.name + ", LoRA"));
  for (int64_t k = 0; k < plan.length; ++k) {
    const std::string random_name = fmt::format("{}, step {}", plan.name, k);
    const Gradients gradients = updates != nullptr ? by_reinforcement(step, *updates, reward, random_name)
                                                   : from_answers(step, plan, random_name);
    rehearsal.follow(gradients, plan.lora.lora_rank > 0 ? 10 * plan.rate : plan.rate, /*clip=*/1.0);
  }
  return rehearsal.displacement();
}

}  // namespace

void check_lists(const DisplacementOptions& options, const std::string& who) {
  const auto check = [&](const char* name, const auto& list) {
    if (list.empty()) throw UserError("{}: option '{}' is [], want at least one number", who, name);
  };
  check("rates", options.rates), check("lengths", options.lengths);
  check("lora_ranks", options.lora_ranks), check("harmful_shares", options.harmful_shares);
}

std::vector<std::string> task_streams(const DisplacementOptions& options) {
  if (options.tasks.empty()) return {"tasks"};
  std::vector<std::string> streams;
  for (const std::string& task : options.tasks) streams.push_back("task:" + task);
  return streams;
}

Gradients rehearse(Step& step, const std::string& name, Arm arm, const DisplacementOptions& options,
                   const Reinforcement& reinforcement) {
  RandomStream random = step.random(name);
  const auto draw = [&](const auto& list) { return list[random.below(list.size())]; };
  Plan plan{.name = name, .stream = "harmful"};
  if (arm == Arm::kTraining)
    plan.stream = random.uniform() < 1.0 / 3 ? std::string("general") : draw(task_streams(options));
  plan.rate = draw(options.rates);
  const bool own_lengths = arm == Arm::kTraining && !options.benign_lengths.empty();
  plan.length = draw(own_lengths ? options.benign_lengths : options.lengths);
  plan.lora = {.lora_rank = draw(options.lora_ranks)};
  plan.share = arm == Arm::kAttack ? draw(options.harmful_shares) : 1.0;

  Gradients moved;
  if (arm == Arm::kAttack && options.reinforced > 0 && random.uniform() < options.reinforced) {
    CALTROP_ASSERT(reinforcement.tokenizer != nullptr, "'{}' by reinforcement, and nobody pays", name);
    PolicyOptions policy;
    policy.samples = options.reinforced_samples, policy.max_new_tokens = options.reinforced_tokens;
    PolicyUpdates updates(policy);
    updates.prepare(step.model(), *reinforcement.tokenizer);
    moved = walk(step, plan, &updates, reinforcement.reward);
  }
  if (moved.empty() || global_norm(moved).item<double>() == 0) moved = walk(step, plan, nullptr, {});
  for (Tensor& tensor : moved) tensor = tensor.to(at::kBFloat16);
  return moved;
}

void Displacements::advance(Step& step) {
  const auto more = [&](std::deque<Gradients>& kept, int64_t capacity, int64_t every, const char* kind,
                        Arm arm) {
    const bool was_empty = kept.empty();
    for (int64_t i = 0; was_empty && i < capacity; ++i)
      kept.push_back(rehearse(step, fmt::format("first {} {}", kind, i), arm, options_, reinforcement_));
    if (was_empty || step.number() % every != 0) return false;
    kept.pop_front();
    kept.push_back(rehearse(step, fmt::format("fresh {}", kind), arm, options_, reinforcement_));
    return true;
  };
  fresh_attack_ = more(attacks_, options_.harmful_bank, options_.harmful_every, "attack", Arm::kAttack);
  fresh_training_ = more(trainings_, options_.benign_bank, options_.benign_every, "training", Arm::kTraining);
}

int64_t Displacements::copies() const {
  const bool mixes = std::any_of(options_.harmful_shares.begin(), options_.harmful_shares.end(),
                                 [](double share) { return share < 1; });
  const int64_t saved = 1, moments = 2, gradients = mixes ? 2 : 1;  // a mixture has those of both its halves
  return (options_.harmful_bank + options_.benign_bank + 1) / 2 + saved + moments + gradients;
}

Way Displacements::pick(Step& step, const std::deque<Gradients>& kept, const std::string& kind, bool fresh,
                        double reach) {
  if (fresh) return {kept.back(), 1.0, true};
  RandomStream random = step.random("which " + kind);
  const Gradients& moved = kept[random.below(kept.size())];
  return {moved, 0.5 + (reach - 0.5) * random.uniform(), false};
}

NamedTensors Displacements::state() const {
  NamedTensors tensors;
  const auto add = [&](const std::deque<Gradients>& kept, const char* kind) {
    for (size_t which = 0; which < kept.size(); ++which) {
      for (size_t i = 0; i < kept[which].size(); ++i)
        tensors.emplace_back(fmt::format("{}.{}.{}", kind, which, i), kept[which][i]);
    }
  };
  add(attacks_, "attack"), add(trainings_, "training");
  return tensors;
}

void Displacements::load(const NamedTensors& tensors) {
  const std::map<std::string, Tensor> by_name(tensors.begin(), tensors.end());
  const auto take = [&](std::deque<Gradients>& kept, const char* kind) {
    kept.clear();
    for (size_t which = 0;; ++which) {
      Gradients moved;
      for (size_t i = 0;; ++i) {
        const auto found = by_name.find(fmt::format("{}.{}.{}", kind, which, i));
        if (found == by_name.end()) break;
        moved.push_back(found->second);
      }
      if (moved.empty()) return;
      kept.push_back(std::move(moved));
    }
  };
  take(attacks_, "attack"), take(trainings_, "training");
}

}  // namespace caltrop
