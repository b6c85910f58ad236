#include "caltrop/train/schedule.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

ScheduleOptions with(const std::string& schedule, double warmup) {
  ScheduleOptions options;
  options.schedule = schedule;
  options.learning_rate = 2.0;
  options.warmup = warmup;
  return options;
}

TEST(Schedule, WarmUpRisesFromZero) {
  EXPECT_DOUBLE_EQ(learning_rate(with("constant", 0.2), 0, 10), 0.0);
  EXPECT_DOUBLE_EQ(learning_rate(with("constant", 0.2), 1, 10), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(with("constant", 0.2), 2, 10), 2.0);
}

TEST(Schedule, ShapesOfTransformers) {
  EXPECT_DOUBLE_EQ(learning_rate(with("linear", 0), 5, 10), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(with("linear", 0.2), 6, 10), 1.0);
  EXPECT_NEAR(learning_rate(with("cosine", 0), 5, 10), 1.0, 1e-12);
  EXPECT_NEAR(learning_rate(with("cosine", 0), 10, 10), 0.0, 1e-12);
}

}  // namespace
}  // namespace caltrop
