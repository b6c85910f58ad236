#include "tests/defences/method_test.h"
#include "tests/reference/vaccine_twin.h"

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

TEST_F(VaccineTest, GradientsEqualTheTwin) {
  // Streams: 1 refusals, 2 general.
  for (const double drift : {0.1, 2.0}) {
    const Gradients ours = gradients("vaccine", {{"drift", drift}, {"keep", 0.5}});
    const Gradients twin = test::vaccine_twin(*model, test::random_rows(1, 6), drift);
    EXPECT_LE(test::difference(ours, test::sum({{1, twin}, {0.5, cross_entropy(batch(2))}})), 1e-4) << drift;
  }
}

}  // namespace
}  // namespace caltrop
