#include "caltrop/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace caltrop {

double learning_rate(const ScheduleOptions& options, int64_t step, int64_t steps) {
  const auto warmup = static_cast<int64_t>(std::ceil(options.warmup * static_cast<double>(steps)));
  if (step < warmup)
    return options.learning_rate * static_cast<double>(step) /
           static_cast<double>(std::max<int64_t>(1, warmup));
  if (options.schedule == "constant") return options.learning_rate;
  const double progress =
      static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, steps - warmup));
  if (options.schedule == "linear") return options.learning_rate * std::max(0.0, 1.0 - progress);
  return options.learning_rate * std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
}

}  // namespace caltrop
