#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

using VaccineTest = test::MethodTest;

TEST_F(VaccineTest, WithoutDriftItIsAlignment) {
  EXPECT_LE(
      test::difference(gradients("vaccine", {{"drift", 0}, {"keep", 0}}), gradients("align", {{"keep", 0}})),
      1e-6);
}

TEST_F(VaccineTest, TheDriftHurtsByItsSizeTimesTheSlope) {
  gradients("vaccine", {{"drift", 0}, {"keep", 0}});
  const double rest = scalar("drifted_loss");
  for (const double drift : {0.01, 0.02}) {
    gradients("vaccine", {{"drift", drift}, {"keep", 0}});
    EXPECT_NEAR((scalar("drifted_loss") - rest) / (drift * scalar("drift_gradient")), 1, 0.1) << drift;
  }
}

TEST_F(VaccineTest, DoesNotDependOnMicroBatches) {
  const auto vaccine = make("vaccine", {{"drift", 0.5}, {"keep", 1}});
  EXPECT_LE(test::difference(gradients(*vaccine, 1), gradients(*vaccine, 6)), 2e-5);
}

}  // namespace
}  // namespace caltrop
