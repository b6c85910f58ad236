#include "caltrop/base/random.h"

#include <cmath>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Random, SameNameSameNumbersAndResumable) {
  RandomStream a(7, "data"), b(7, "data"), c(7, "sampling"), d(8, "data");
  const uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
  EXPECT_NE(first, d.next());
  RandomStream resumed(a.key(), a.counter(), 0);
  EXPECT_EQ(resumed.next(), a.next());
}

TEST(Random, MomentsOfTheDistributions) {
  RandomStream stream(1, "moments");
  constexpr int kDraws = 200000;
  double sum = 0, square = 0, uniform = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double z = stream.normal();
    sum += z, square += z * z, uniform += stream.uniform();
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.01);
  EXPECT_NEAR(square / kDraws, 1, 0.02);
  EXPECT_NEAR(uniform / kDraws, 0.5, 0.005);
}

}  // namespace
}  // namespace caltrop
