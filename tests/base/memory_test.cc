#include "caltrop/base/memory.h"

#include <vector>

#include "tests/support/support.h"

namespace caltrop {
namespace {

constexpr int64_t kLarge = 256 << 20;

void use_and_free() {
  std::vector<char> block(kLarge, 1);
  ASSERT_EQ(block[kLarge / 2], 1);
}

TEST(Memory, APeakIsCountedAnew) {
  use_and_free();
  const int64_t of_the_first = peak_memory();
  EXPECT_GE(of_the_first, kLarge);
  restart_peak_memory();
  if (!test::counts_peaks_anew())
    GTEST_SKIP() << "this system does not count a peak anew (/proc/self/clear_refs)";
  EXPECT_LT(peak_memory(), of_the_first - kLarge / 2);
  use_and_free();
  EXPECT_GE(peak_memory(), kLarge);
}

}  // namespace
}  // namespace caltrop
