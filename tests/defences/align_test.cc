#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"
#include "tests/reference/ctrap_twin.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
std::vector<const Entry*> all_defences();

namespace {

Gradients gradients(const Model& model, const std::string& name, const Json& options,
                    const std::vector<std::string>& streams) {
  const auto objective = find_entry(all_defences(), "defence", name).make(options);
  EXPECT_EQ(objective->streams(), streams);
  Step step = test::make_step(model, streams, 5, 5);
  objective->add_gradients(step);
  return test::take_gradients(model);
}

/// Cross-entropy gradients of the first and second stream, the second weighted.
Gradients twin(const Model& model, double keep) {
  const Gradients a = test::cross_entropy_gradient(model, pack(test::random_rows(1, 5)));
  const Gradients b = test::cross_entropy_gradient(model, pack(test::random_rows(2, 5)));
  Gradients sum;
  for (size_t i = 0; i < a.size(); ++i) sum.push_back(a[i] + keep * b[i]);
  return sum;
}

TEST(Align, IsCrossEntropyOfRefusalsAndBenignAnswers) {
  const auto model = test::tiny_model();
  EXPECT_LE(test::difference(gradients(*model, "align", {{"keep", 0.5}}, {"refusals", "general"}),
                             twin(*model, 0.5)),
            1e-5);
  EXPECT_LE(test::difference(gradients(*model, "align", {{"keep", 0}}, {"refusals"}), twin(*model, 0)), 1e-5);
}

TEST(Sdd, IsCrossEntropyOfIrrelevantAnswers) {
  const auto model = test::tiny_model();
  EXPECT_LE(
      test::difference(gradients(*model, "sdd", {{"preset", "paper"}}, {"irrelevant"}), twin(*model, 0)),
      1e-5);
  EXPECT_LE(
      test::difference(gradients(*model, "sdd", {{"keep", 2}}, {"irrelevant", "general"}), twin(*model, 2)),
      1e-5);
}

}  // namespace
}  // namespace caltrop
