// Everything that a run needs to go on as if it had never stopped: weights, optimizer state, how far it was.
//
//   state/step-000040/weights.safetensors, optimizer.safetensors, objective.safetensors (if it remembers anything), state.json
//
// A checkpoint is written as state/unfinished and renamed, and an older one renamed to that before it is removed, so after a
// kill at any moment the newest complete one counts. Data and random streams need no state: they are functions of seed, name
// and step. Tested by tests/train/checkpoint_test.cc and trainer_test.cc.
#pragma once

#include <filesystem>

#include "caltrop/train/trainer.h"

namespace caltrop {

/// Leaves this checkpoint as the only one. Throws UserError for what the disk says; the older one is then still there.
void save_checkpoint(const std::filesystem::path& state, const TrainableWeights& weights,
                     const Optimizer& optimizer, const Objective& objective, const TrainTotals& totals);

/// Loads the newest checkpoint into weights, optimizer and objective and returns its totals; zeros if there is none.
/// Throws UserError if it does not fit the model.
TrainTotals load_checkpoint(const std::filesystem::path& state, TrainableWeights& weights,
                            Optimizer& optimizer, Objective& objective);

}  // namespace caltrop
