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
  // Shared beginnings are computed once a micro-batch, so a drift at a shared token is one there and several elsewhere: rows
  // that share nothing are the ones to compare.
  const auto vaccine = make("vaccine", {{"drift", 0.5}, {"keep", 1}});
  Step::Batches whole, parts;
  uint64_t seed = 0;
  for (const std::string& stream : vaccine->streams()) {
    std::vector<TokenRow> rows = test::random_rows(++seed, 4);
    for (size_t r = 0; r < rows.size(); ++r) rows[r].ids[0] = static_cast<int64_t>(r);
    whole[stream].push_back(pack(rows));
    for (const TokenRow& row : rows) parts[stream].push_back(pack(std::vector<TokenRow>{row}));
  }
  const auto of = [&](const Step::Batches& batches) {
    Step step(0, 0, *model, batches);
    vaccine->add_gradients(step);
    return test::take_gradients(*model);
  };
  EXPECT_LE(test::difference(of(parts), of(whole)), 2e-5);
}

}  // namespace
}  // namespace caltrop
