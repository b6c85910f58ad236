#include "caltrop/run/prove.h"

#include "caltrop/run/verdict.h"
#include "tests/support/tiny_domain.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

TEST(Prove, AModelIsMeasuredOnceForEveryTask) {
  const test::ScratchFolder scratch;
  const auto attack = [](double rate) -> Json {
    return {{"method", "sft"},
            {"options", {{"data", "kind"}}},
            {"train", {{"steps", 1}, {"batch", 2}, {"learning_rate", rate}}}};
  };
  Json proof = {
      {"model", test::write_tiny_folder(scratch / "base").string()},
      {"domain", test::write_tiny_domain(scratch).string()},
      {"evaluate", {{"restricted", 2}, {"benign", 2}, {"likelihood_rows", 2}, {"max_new_tokens", 3}}},
      {"attacks", {{"slow", attack(1e-4)}}}};
  const std::filesystem::path out = scratch / "proof", cells = out / "cells/undefended";
  prove(proof, "proof", out, "caltrop prove", Prove::kWhatIsMissing);

  // Where a finished cell says it, another one says the same; what it ends with is its own.
  std::vector<Sample> samples = first_evaluation(cells / "slow/seed-0").samples;
  ASSERT_EQ(samples.size(), 5u) << "the task's row is among them";
  samples.back().response = "as it was found before";
  write_samples(cells / "slow/seed-0/samples", 0, samples);
  proof["attacks"]["fast"] = attack(1e-3);
  prove(proof, "proof", out, "caltrop prove", Prove::kWhatIsMissing);
  EXPECT_EQ(first_evaluation(cells / "fast/seed-0").samples.back().response, "as it was found before");
  EXPECT_NE(last_evaluation(cells / "fast/seed-0").samples.back().response, "as it was found before");
}

}  // namespace
}  // namespace caltrop
