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
  std::string name;
  Course course;
  int64_t length = 0;
  double share = 1;  // of the rows of the course's stream; the others are general
};

Gradients from_answers(Step& step, const Plan& plan, const std::string& random_name) {
  const std::vector<std::string> streams = plan.share == 1
                                               ? std::vector{plan.course.stream}
                                               : std::vector<std::string>{plan.course.stream, "general"};
  Step rows = step.fresh(random_name, streams);
  Gradients gradients = rows.measure(plan.course.stream, answer_loss()).gradients;
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
  const LoraOptions lora{.lora_rank = plan.course.lora_rank};
  const double rate = lora.lora_rank > 0 ? 10 * plan.course.rate : plan.course.rate;
  Rehearsal rehearsal(step.model(), OptimizerOptions{}, lora, step.random(plan.name + ", LoRA"));
  for (int64_t k = 0; k < plan.length; ++k) {
    const std::string random_name = fmt::format("{}, step {}", plan.name, k);
    const Gradients gradients = updates != nullptr ? by_reinforcement(step, *updates, reward, random_name)
                                                   : from_answers(step, plan, random_name);
    rehearsal.follow(gradients, rate, /*clip=*/1.0);
  }
  return rehearsal.displacement();
}

Gradients in_bf16(Gradients moved) {
  for (Tensor& tensor : moved) tensor = tensor.to(at::kBFloat16);
  return moved;
}

const std::vector<int64_t>& training_lengths(const DisplacementOptions& options) {
  return options.benign_lengths.empty() ? options.lengths : options.benign_lengths;
}

const std::vector<double>& training_rates(const DisplacementOptions& options) {
  return options.benign_rates.empty() ? options.rates : options.benign_rates;
}

/// All streams that are rehearsed on; checkpoints number them.
std::vector<std::string> stream_names(const DisplacementOptions& options) {
  std::vector<std::string> names = task_streams(options);
  names.insert(names.begin(), {"harmful", "general"});
  return names;
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

Rehearsed rehearse(Step& step, const std::string& name, Arm arm, const DisplacementOptions& options,
                   const Reinforcement& reinforcement) {
  RandomStream random = step.random(name);
  const auto draw = [&](const auto& list) { return list[random.below(list.size())]; };
  Plan plan{.name = name, .course = {.stream = "harmful", .rate = 0, .lora_rank = 0}};
  if (arm == Arm::kTraining)
    plan.course.stream =
        random.uniform() < options.benign_chat ? std::string("general") : draw(task_streams(options));
  plan.course.rate = draw(arm == Arm::kTraining ? training_rates(options) : options.rates);
  plan.length = draw(arm == Arm::kTraining ? training_lengths(options) : options.lengths);
  plan.course.lora_rank = draw(options.lora_ranks);
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
  return {in_bf16(std::move(moved)), plan.course};
}

Rehearsed go_on(Step& step, const std::string& name, const Rehearsed& before,
                const DisplacementOptions& options) {
  const std::vector<int64_t>& lengths = training_lengths(options);
  const Plan plan{
      .name = name, .course = before.course, .length = lengths[step.random(name).below(lengths.size())]};
  const Nudge there(step.model(), before.moved, 1.0);
  Gradients moved = walk(step, plan, nullptr, {});
  for (size_t i = 0; i < moved.size(); ++i) moved[i] += before.moved[i];
  return {in_bf16(std::move(moved)), plan.course};
}

Rehearsed Displacements::next_training(Step& step) {
  RandomStream random = step.random("goes on");
  if (options_.benign_goes_on == 0 || random.uniform() >= options_.benign_goes_on) {
    trainings_.pop_front();
    return rehearse(step, "fresh training", Arm::kTraining, options_);
  }
  const auto which = trainings_.begin() + static_cast<std::ptrdiff_t>(random.below(trainings_.size()));
  const Rehearsed before = std::move(*which);
  trainings_.erase(which);
  return go_on(step, "fresh training", before, options_);
}

bool Displacements::is_due(const Step& step) const {
  return attacks_.empty() || attack_is_due(step) || training_is_due(step);
}

void Displacements::advance(Step& step) {
  const bool first = attacks_.empty();
  for (int64_t i = 0; first && i < options_.harmful_bank; ++i)
    attacks_.push_back(
        rehearse(step, fmt::format("first attack {}", i), Arm::kAttack, options_, reinforcement_));
  for (int64_t i = 0; first && i < options_.benign_bank; ++i)
    trainings_.push_back(rehearse(step, fmt::format("first training {}", i), Arm::kTraining, options_));
  fresh_attack_ = !first && attack_is_due(step);
  fresh_training_ = !first && training_is_due(step);
  if (fresh_attack_) {
    attacks_.pop_front();
    attacks_.push_back(rehearse(step, "fresh attack", Arm::kAttack, options_, reinforcement_));
  }
  if (fresh_training_) trainings_.push_back(next_training(step));
}

int64_t Displacements::copies() const {
  const bool mixes = std::any_of(options_.harmful_shares.begin(), options_.harmful_shares.end(),
                                 [](double share) { return share < 1; });
  const int64_t saved = 1, moments = 2, gradients = mixes ? 2 : 1;  // a mixture has those of both its halves
  return (options_.harmful_bank + options_.benign_bank + 1) / 2 + saved + moments + gradients;
}

Way Displacements::pick(Step& step, const std::deque<Rehearsed>& kept, const std::string& kind, bool fresh,
                        double reach) {
  if (fresh) return {kept.back().moved, 1.0, true};
  RandomStream random = step.random("which " + kind);
  const Gradients& moved = kept[random.below(kept.size())].moved;
  return {moved, 0.5 + (reach - 0.5) * random.uniform(), false};
}

NamedTensors Displacements::state() const {
  NamedTensors tensors;
  const std::vector<std::string> names = stream_names(options_);
  const auto add = [&](const std::deque<Rehearsed>& kept, const char* kind) {
    for (size_t which = 0; which < kept.size(); ++which) {
      const auto& [moved, course] = kept[which];
      for (size_t i = 0; i < moved.size(); ++i)
        tensors.emplace_back(fmt::format("{}.{}.{}", kind, which, i), moved[i]);
      const auto stream = std::find(names.begin(), names.end(), course.stream) - names.begin();
      const std::vector<double> numbers{static_cast<double>(stream), course.rate,
                                        static_cast<double>(course.lora_rank)};
      tensors.emplace_back(fmt::format("course of {}.{}", kind, which), at::tensor(numbers, at::kDouble));
    }
  };
  add(attacks_, "attack"), add(trainings_, "training");
  return tensors;
}

void Displacements::load(const NamedTensors& tensors) {
  const std::map<std::string, Tensor> by_name(tensors.begin(), tensors.end());
  const std::vector<std::string> names = stream_names(options_);
  const auto take = [&](std::deque<Rehearsed>& kept, const char* kind) {
    kept.clear();
    for (size_t which = 0;; ++which) {
      const auto course = by_name.find(fmt::format("course of {}.{}", kind, which));
      if (course == by_name.end()) return;
      const Tensor numbers = course->second.cpu();
      Rehearsed rehearsed{{},
                          {.stream = names.at(static_cast<size_t>(numbers[0].item<double>())),
                           .rate = numbers[1].item<double>(),
                           .lora_rank = static_cast<int64_t>(numbers[2].item<double>())}};
      for (size_t i = 0;; ++i) {
        const auto found = by_name.find(fmt::format("{}.{}.{}", kind, which, i));
        if (found == by_name.end()) break;
        rehearsed.moved.push_back(found->second);
      }
      kept.push_back(std::move(rehearsed));
    }
  };
  take(attacks_, "attack"), take(trainings_, "training");
}

}  // namespace caltrop
