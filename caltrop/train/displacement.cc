#include "caltrop/train/displacement.h"

#include <map>

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"

namespace caltrop {
namespace {

const std::vector<std::string> kHarmful = {"harmful"}, kBenign = {"general", "tasks"};

}  // namespace

Gradients rehearse(Step& step, const std::string& name, const std::vector<std::string>& streams,
                   const DisplacementOptions& options) {
  RandomStream random = step.random(name);
  const std::string& stream = streams[random.below(streams.size())];
  const double rate = options.rates[random.below(options.rates.size())];
  const int64_t length = options.lengths[random.below(options.lengths.size())];
  Rehearsal rehearsal(step.model(), OptimizerOptions{});
  for (int64_t k = 0; k < length; ++k) {
    Step rows = step.fresh(fmt::format("{}, step {}", name, k), {stream});
    rehearsal.train(rows, stream, answer_loss(), rate, /*clip=*/1.0);
  }
  Gradients moved = rehearsal.displacement();
  for (Tensor& tensor : moved) tensor = tensor.to(at::kBFloat16);
  return moved;
}

void Displacements::advance(Step& step) {
  const auto more = [&](std::deque<Gradients>& kept, int64_t capacity, int64_t every, const char* kind,
                        const std::vector<std::string>& streams) {
    const bool was_empty = kept.empty();
    for (int64_t i = 0; was_empty && i < capacity; ++i)
      kept.push_back(rehearse(step, fmt::format("first {} {}", kind, i), streams, options_));
    if (was_empty || step.number() % every != 0) return false;
    kept.pop_front();
    kept.push_back(rehearse(step, fmt::format("fresh {}", kind), streams, options_));
    return true;
  };
  fresh_attack_ = more(attacks_, options_.harmful_bank, options_.harmful_every, "attack", kHarmful);
  fresh_training_ = more(trainings_, options_.benign_bank, options_.benign_every, "training", kBenign);
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
