// The learning rate as a function of the step. Tested by tests/train/schedule_test.cc.
#pragma once

#include <cstdint>
#include <string>

#include "caltrop/base/fields.h"

namespace caltrop {

struct ScheduleOptions {
  std::string schedule = "constant";
  double learning_rate = 3e-5;
  double warmup = 0.0;

  static auto fields() {
    using O = ScheduleOptions;
    return std::tuple{
        field("schedule", &O::schedule, {"constant", "cosine", "linear"},
              "shape after the warm-up; cosine and linear end at 0"),
        field("learning_rate", &O::learning_rate, 0, 10, "the highest learning rate"),
        field("warmup", &O::warmup, 0, 1, "share of all steps over which the rate rises linearly from 0"),
    };
  }
};

/// The rate for step `step` (from 0) of `steps`, as in transformers'
/// get_{constant,cosine,linear}_schedule_with_warmup.
double learning_rate(const ScheduleOptions& options, int64_t step, int64_t steps);

}  // namespace caltrop
