#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/math_mode.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"
#include "tests/reference/ctrap_twin.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
std::vector<const Entry*> all_defences();

namespace {

/// A CTRAP whose collapse token is that of "!" in the tests' tokenizer: " error" has none in the tiny vocabulary.
class CtrapTest : public testing::Test {
 protected:
  const Entry& entry = find_entry(all_defences(), "defence", "ctrap");
  std::shared_ptr<Model> model = test::tiny_model();
  Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));
  static constexpr const char* kText = "!";
  int64_t token = tokenizer.encode(kText, false).ids.back();

  std::unique_ptr<Objective> ctrap(Json options) {
    options["collapse_text"] = kText;
    auto objective = entry.make(options);
    objective->prepare(*model, tokenizer);
    return objective;
  }

  Gradients gradients_of(Objective& objective) {
    Step step = test::make_step(*model, {"refusals", "general", "harmful"}, 6, 6);
    objective.add_gradients(step);
    return test::take_gradients(*model);
  }

  test::TwinBatches twin_batches() {
    return {pack(test::random_rows(1, 6)), pack(test::random_rows(2, 6)), pack(test::random_rows(3, 6))};
  }
};

TEST_F(CtrapTest, GradientsEqualTheTwin) {
  ASSERT_LT(token, 61) << "the token must exist in the tiny model";
  for (const bool normalise : {true, false}) {
    for (const std::string data : {"general", "retain"}) {
      const auto objective = ctrap(
          {{"trap_weight", 0.7}, {"look_ahead", 0.3}, {"normalise", normalise}, {"collapse_data", data}});
      const Gradients ours = gradients_of(*objective);
      const Gradients twin =
          test::CtrapTwin{0.7, 0.3, normalise, data == "retain", token}.gradients(*model, twin_batches());
      EXPECT_LE(test::difference(ours, twin), 2e-5)
          << "normalise " << normalise << ", collapse data " << data;
    }
  }
}

TEST_F(CtrapTest, WeightsAreBitForBitAsBefore) {
  const auto objective = ctrap({{"look_ahead", 0.3}});
  const NamedTensors before = test::copy_of(model->parameters());
  gradients_of(*objective);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST_F(CtrapTest, WithoutWeightItIsAlignment) {
  const auto align = find_entry(all_defences(), "defence", "align").make(Json::object());
  Step step = test::make_step(*model, {"refusals", "general"}, 6, 6);
  align->add_gradients(step);
  const Gradients plain = test::take_gradients(*model);
  EXPECT_EQ(test::difference(gradients_of(*ctrap({{"trap_weight", 0}})), plain), 0);
}

TEST_F(CtrapTest, LooksAheadByExactlyAlpha) {
  const double alpha = 0.3;
  const NamedTensors before = test::copy_of(model->parameters());
  // Where the weights are at each backward pass.
  std::vector<double> distances;
  model->parameters().front().second.register_hook([&](const Tensor&) {
    const at::NoGradGuard off;
    double square = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      const Tensor moved = model->parameters()[i].second.to(at::kDouble) - before[i].second.to(at::kDouble);
      square += moved.square().sum().item<double>();
    }
    distances.push_back(std::sqrt(square));
  });
  gradients_of(*ctrap({{"look_ahead", alpha}}));
  ASSERT_EQ(distances.size(), 4u) << "refusals, general, harmful, the trap";
  EXPECT_EQ(std::vector<double>(distances.begin(), distances.begin() + 3), std::vector<double>(3, 0.0));
  EXPECT_NEAR(distances[3], alpha, 1e-6);
}

TEST_F(CtrapTest, WithoutLookAheadTheTrapIsTheCollapseGradient) {
  // Sprung and asleep are then the same number, over all rows that are to collapse.
  const auto asleep = [&](const char* data) {
    const auto objective = ctrap({{"look_ahead", 0}, {"collapse_data", data}});
    Step step = test::make_step(*model, {"refusals", "general", "harmful"}, 6, 6);
    const Scalars scalars = objective->add_gradients(step);
    EXPECT_NEAR(test::scalar(scalars, "trap_asleep"), test::scalar(scalars, "trap_sprung"), 1e-5);
    test::take_gradients(*model);
    return test::scalar(scalars, "trap_asleep");
  };
  EXPECT_GT(asleep("retain"), asleep("general") + 0.1) << "two means, of refusals and of general answers";

  const test::TwinBatches rows = twin_batches();
  const Gradients ours = gradients_of(*ctrap({{"look_ahead", 0}, {"trap_weight", 2}})),
                  refuse = test::cross_entropy_gradient(*model, rows.refusals),
                  keep = test::cross_entropy_gradient(*model, rows.general),
                  collapse = test::cross_entropy_gradient(*model, rows.general, token);
  Gradients expected;
  for (size_t i = 0; i < ours.size(); ++i) expected.push_back(refuse[i] + keep[i] + 2 * collapse[i]);
  EXPECT_LE(test::difference(ours, expected), 2e-5);
}

TEST_F(CtrapTest, PresetsCollapseOnWhatPaperAndCodeSay) {
  EXPECT_EQ(ctrap({{"preset", "paper"}})->options()["collapse_data"], "general");
  EXPECT_EQ(ctrap({{"preset", "paper"}})->options()["normalise"], false);
  EXPECT_EQ(ctrap({{"preset", "code"}})->options()["collapse_data"], "retain");
  EXPECT_EQ(ctrap({{"preset", "ours"}})->options()["collapse_data"], "general");
}

TEST_F(CtrapTest, DifferencesOfGradientsWantFp32) {
  EXPECT_FALSE(ctrap(Json::object())->needs_fp32());
  EXPECT_TRUE(ctrap({{"second_order", true}})->needs_fp32());
  EXPECT_FALSE(ctrap({{"second_order", true}, {"hessian", "exact"}})->needs_fp32());
}

TEST_F(CtrapTest, ErrorsAreForPeople) {
  EXPECT_USER_ERROR(
      entry.make({{"lookahead", 1}}),
      "ctrap: no option 'lookahead'; it has: preset, trap_weight, look_ahead, normalise, "
      "collapse_data, joint_mean, collapse_text, collapse_token, second_order, hessian, epsilon, "
      "check_every, strict");
  EXPECT_USER_ERROR(entry.make({{"preset", "best"}}),
                    "ctrap: option 'preset' is 'best', want one of: paper, code, ours");
  EXPECT_USER_ERROR(entry.make({{"collapse_text", ""}})->prepare(*model, tokenizer),
                    "ctrap: option 'collapse_text' is '', which has no tokens");
  EXPECT_USER_ERROR(entry.make({{"collapse_token", 61}})->prepare(*model, tokenizer),
                    "ctrap: option 'collapse_token' is 61, and the model knows the tokens 0 to 60");
  EXPECT_USER_ERROR(
      entry.make({{"collapse_token", 5}, {"collapse_text", "!"}}),
      "ctrap: options 'collapse_text' ('!') and 'collapse_token' (5) both name a token, want one");
  EXPECT_USER_ERROR(
      entry.make({{"hessian", "exact"}}),
      "ctrap: option 'hessian' is \"exact\", which does nothing without second_order; want it left out");
  std::vector<std::string> names;
  for (const Entry* defence : all_defences()) names.push_back(defence->name);
  EXPECT_USER_ERROR(find_entry(all_defences(), "defence", "ctrop"),
                    "caltrop: no defence 'ctrop'; it has: " + join(names));
}

TEST_F(CtrapTest, TheTokenMayBeGivenByItsId) {
  const auto by_id = entry.make({{"collapse_token", token}});
  by_id->prepare(*model, tokenizer);
  EXPECT_EQ(test::difference(gradients_of(*by_id), gradients_of(*ctrap(Json::object()))), 0);
}

TEST_F(CtrapTest, ADifferenceThatIsRoundingNoiseIsWarnedOfAndEndsAStrictRun) {
  Json noise = {{"second_order", true}, {"hessian", "fd_paper"}, {"epsilon", 1e-9}};
  testing::internal::CaptureStderr();
  gradients_of(*ctrap(noise));
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      testing::HasSubstr("warning: ctrap: step 0: the finite difference on 'harmful' is not to be trusted"));
  noise["strict"] = true;
  EXPECT_THROW(gradients_of(*ctrap(noise)), UserError);
  test::take_gradients(*model);

  const auto sound = ctrap({{"second_order", true}, {"epsilon", 1e-4}, {"strict", true}});
  Step step = test::make_step(*model, {"refusals", "general", "harmful"}, 6, 6);
  EXPECT_GT(test::scalar(sound->add_gradients(step), "fd_exact"), 0.99);
  test::take_gradients(*model);
}

TEST_F(CtrapTest, SecondOrderIsTheDerivativeThroughTheImaginedStep) {
  const double lambda = 0.7, alpha = 0.3;
  for (const bool normalise : {true, false}) {
    const auto objective = ctrap({{"trap_weight", lambda},
                                  {"look_ahead", alpha},
                                  {"normalise", normalise},
                                  {"collapse_data", "general"},
                                  {"second_order", true},
                                  {"hessian", "exact"}});
    const Gradients ours = gradients_of(*objective);

    const MathMode math;
    const test::TwinBatches batches = twin_batches();
    const std::vector<Tensor> theta = test::parameters_of(*model);
    const auto loss = [](const Model& at_weights, const Batch& rows, const Tensor& labels) {
      const Tensor hidden = at_weights.forward(rows.tokens).index_select(0, rows.label_positions);
      return at::cross_entropy_loss(at::linear(hidden, at_weights.head()), labels);
    };
    const auto g =
        torch::autograd::grad({loss(*model, batches.harmful, batches.harmful.labels)}, theta, {}, true, true);
    Tensor square = at::zeros({});
    for (const Tensor& x : g) square = square + x.square().sum();
    const Tensor length = normalise ? alpha / (square.sqrt() + 1e-7) : at::full({}, alpha);
    NamedTensors attacked;
    for (size_t i = 0; i < theta.size(); ++i)
      attacked.emplace_back(model->parameters()[i].first, theta[i] - length * g[i]);
    const Model there(model->config(), attacked, at::kFloat);
    const Tensor total = loss(*model, batches.refusals, batches.refusals.labels) +
                         loss(*model, batches.general, batches.general.labels) +
                         lambda * loss(there, batches.general, at::full_like(batches.general.labels, token));
    EXPECT_LE(test::difference(ours, torch::autograd::grad({total}, theta)), 2e-4)
        << "normalise " << normalise;
  }
}

TEST_F(CtrapTest, PresetsAreAsDocumented) {
  EXPECT_EQ(entry.make({{"preset", "paper"}})->options()["normalise"], false);
  EXPECT_EQ(entry.make({{"preset", "code"}})->options()["look_ahead"], 0.1);
  EXPECT_EQ(entry.make({{"preset", "code"}, {"look_ahead", 0.2}})->options()["look_ahead"], 0.2)
      << "given options win";
}

}  // namespace
}  // namespace caltrop
