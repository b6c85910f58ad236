// The training loop. There is one, for every defence and every attack. Tested by tests/train/trainer_test.cc.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "caltrop/data/stream.h"
#include "caltrop/train/lora.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/optimizer.h"
#include "caltrop/train/schedule.h"

namespace caltrop {

struct TrainOptions : ScheduleOptions, OptimizerOptions, LoraOptions {
  int64_t steps = 40;
  int64_t batch = 8;
  int64_t micro_batch = 0;
  double clip = 1.0;
  int64_t longest = 256;
  int64_t log_every = 1;
  int64_t save_every = 100;

  static auto fields() {
    using O = TrainOptions;
    return std::tuple_cat(
        std::tuple{
            field("steps", &O::steps, 0, 1e9, "optimizer steps"),
            field("batch", &O::batch, 1, 1e6, "rows a step from each stream of the method"),
            field(
                "micro_batch", &O::micro_batch, 0, 1e6,
                "rows at a time, to save memory; 0: all at once. Same result but for repnoise and tripwire"),
            field("clip", &O::clip, 0, 1e9, "largest gradient norm; 0: no clipping"),
            field("longest", &O::longest, 8, 1e6, "longest row in tokens; answers are cut to fit"),
            field("log_every", &O::log_every, 1, 1e9, "steps between records of the training numbers"),
            field("save_every", &O::save_every, 0, 1e9, "steps between checkpoints; 0: none"),
        },
        ScheduleOptions::fields(), OptimizerOptions::fields(), LoraOptions::fields());
  }
};

/// What the loop tells the outside. Numbers are plain by now.
struct TrainHooks {
  using Numbers = std::vector<std::pair<std::string, double>>;
  /// Called when `steps_done` steps are behind, 0 and the last included, if due(steps_done).
  std::function<bool(int64_t steps_done)> due = [](int64_t) { return false; };
  std::function<void(int64_t steps_done)> evaluate = [](int64_t) {};
  /// Asked after each evaluation: true ends the run there.
  std::function<bool()> enough = [] { return false; };
  std::function<void(int64_t steps_done, const Numbers&)> log = [](int64_t, const Numbers&) {};
  std::string title = "train";
};

/// What a finished loop did, for the record of costs.
struct TrainTotals {
  int64_t steps = 0, rows = 0, tokens = 0;          // tokens of rows as they are, before sharing
  int64_t forward_passes = 0, backward_passes = 0;  // over one stream's batch
  double seconds = 0;                               // inside the training section
};

/// Trains `model` in place. Checkpoints go to `state` (created as needed); an existing one there is resumed,
/// and the run then continues bit for bit as if it had not been interrupted. Throws UserError if a gradient
/// is not finite, naming the step and the first such parameter.
TrainTotals train(const Model& model, Objective& objective, std::map<std::string, Stream> streams,
                  const TrainOptions& options, uint64_t seed, const std::filesystem::path& state,
                  const TrainHooks& hooks);

/// The numbers that the loop itself logs.
std::vector<MetricDeclaration> training_numbers();

/// Steps that a checkpoint in `state` has behind it; 0 without one.
int64_t checkpoint_steps(const std::filesystem::path& state);

}  // namespace caltrop
