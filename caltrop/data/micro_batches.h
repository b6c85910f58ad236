// A step's rows in parts, to save memory. Tested by tests/run/stage_test.cc and tests/train/policy_updates_test.cc.
#pragma once

#include "caltrop/data/batch.h"

namespace caltrop {

/// The rows in order, packed `at_once` at a time; the last batch may have fewer. REQUIRES at_once > 0.
std::vector<Batch> micro_batches(std::span<const TokenRow> rows, int64_t at_once, at::Device device,
                                 Beginnings beginnings = Beginnings::kShared);

}  // namespace caltrop
