#include "caltrop/train/displacement.h"

#include <map>

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"

namespace caltrop {

std::vector<std::string> task_streams(const DisplacementOptions& options) {
  if (options.tasks.empty()) return {"tasks"};
  std::vector<std::string> streams;
  for (const std::string& task : options.tasks) streams.push_back("task:" + task);
  return streams;
}

Gradients rehearse(Step& step, const std::string& name, Arm arm, const DisplacementOptions& options) {
  RandomStream random = step.random(name);
  const auto draw = [&](const auto& list) { return list[random.below(list.size())]; };
  std::string stream = "harmful";
  if (arm == Arm::kTraining)
    stream = random.uniform() < 1.0 / 3 ? std::string("general") : draw(task_streams(options));
  const double rate = draw(options.rates);
  const bool own_lengths = arm == Arm::kTraining && !options.benign_lengths.empty();
  const int64_t length = draw(own_lengths ? options.benign_lengths : options.lengths);
  const LoraOptions lora{.lora_rank = draw(options.lora_ranks)};
  const double share = arm == Arm::kAttack ? draw(options.harmful_shares) : 1.0;
  Rehearsal rehearsal(step.model(), OptimizerOptions{}, lora, step.random(name + ", LoRA"));
  for (int64_t k = 0; k < length; ++k) {
    Step rows = step.fresh(fmt::format("{}, step {}", name, k),
                           share == 1 ? std::vector{stream} : std::vector<std::string>{stream, "general"});
    Gradients gradients = rows.measure(stream, answer_loss()).gradients;
    if (share < 1) {
      const Gradients general = rows.measure("general", answer_loss()).gradients;
      for (size_t i = 0; i < gradients.size(); ++i) gradients[i].mul_(share).add_(general[i], 1 - share);
    }
    rehearsal.follow(gradients, lora.lora_rank > 0 ? 10 * rate : rate, /*clip=*/1.0);
  }
  Gradients moved = rehearsal.displacement();
  for (Tensor& tensor : moved) tensor = tensor.to(at::kBFloat16);
  return moved;
}

void Displacements::advance(Step& step) {
  const auto more = [&](std::deque<Gradients>& kept, int64_t capacity, int64_t every, const char* kind,
                        Arm arm) {
    const bool was_empty = kept.empty();
    for (int64_t i = 0; was_empty && i < capacity; ++i)
      kept.push_back(rehearse(step, fmt::format("first {} {}", kind, i), arm, options_));
    if (was_empty || step.number() % every != 0) return false;
    kept.pop_front();
    kept.push_back(rehearse(step, fmt::format("fresh {}", kind), arm, options_));
    return true;
  };
  fresh_attack_ = more(attacks_, options_.harmful_bank, options_.harmful_every, "attack", Arm::kAttack);
  fresh_training_ = more(trainings_, options_.benign_bank, options_.benign_every, "training", Arm::kTraining);
}

Way Displacements::pick(Step& step, const std::deque<Gradients>& kept, const std::string& kind) const {
  if (kind == "attack" ? fresh_attack_ : fresh_training_) return {kept.back(), 1.0, true};
  RandomStream random = step.random("which " + kind);
  const Gradients& moved = kept[random.below(kept.size())];
  return {moved, 0.5 + random.uniform(), false};
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
