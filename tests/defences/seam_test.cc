#include <torch/csrc/autograd/autograd.h>

#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

/// SEAM by autograd and nothing else: the cosine of two gradients, differentiated. Streams: 1 harmful, 2 refusals, 3 general.
class SeamTest : public test::MethodTest {
 protected:
  Tensor loss(const Batch& rows) const {
    const Tensor hidden = model->forward(rows.tokens).index_select(0, rows.label_positions);
    return at::cross_entropy_loss(at::linear(hidden, model->head()), rows.labels);
  }

  Gradients cosine_gradient() const {
    const MathMode math;
    const auto a = torch::autograd::grad({loss(batch(1))}, test::parameters_of(*model), {}, true, true);
    const auto b = torch::autograd::grad({loss(batch(3))}, test::parameters_of(*model), {}, true, true);
    Tensor ab = at::zeros({}), aa = at::zeros({}), bb = at::zeros({});
    for (size_t i = 0; i < a.size(); ++i) {
      ab = ab + (a[i] * b[i]).sum(), aa = aa + a[i].square().sum(), bb = bb + b[i].square().sum();
    }
    return torch::autograd::grad({ab / (aa.sqrt() * bb.sqrt())}, test::parameters_of(*model));
  }
};

TEST_F(SeamTest, ExactModeIsTheDerivativeOfTheCosine) {
  const Gradients ours = gradients("seam", {{"hessian", "exact"}, {"couple", 0.7}, {"refuse", 0.5}});
  const Gradients twin =
      test::sum({{1, layerwise_ascent(batch(1))}, {0.5, cross_entropy(batch(2))}, {0.7, cosine_gradient()}});
  EXPECT_LE(test::difference(ours, twin), 1e-4);
}

TEST_F(SeamTest, DifferencesApproachTheExactTerm) {
  const Gradients exact = cosine_gradient();
  const auto coupled = [&](const Json& how) {
    Json options = {{"couple", 1}, {"refuse", 0}, {"unlearn", 0}, {"check_every", 0}};
    options.update(how);
    return gradients("seam", options);
  };
  EXPECT_LE(test::difference(coupled({{"hessian", "fd_central"}, {"epsilon", 1e-4}}), exact), 0.02);
  EXPECT_LE(test::difference(coupled({{"hessian", "fd_scaled"}, {"epsilon", 1e-5}}), exact), 0.05);
  EXPECT_LE(test::difference(coupled({{"hessian", "fd_paper"}, {"epsilon", 1e-3}}), exact), 0.05);
}

TEST_F(SeamTest, DoesNotDependOnMicroBatches) {
  const auto seam = make("seam", {{"couple", 1}, {"hessian", "exact"}});
  EXPECT_LE(test::difference(gradients(*seam, 2), gradients(*seam, 6)), 1e-4);
}

TEST_F(SeamTest, ADifferenceThatIsRoundingNoiseIsWarnedOfAndEndsAStrictRun) {
  Json noise = {{"hessian", "fd_paper"}, {"epsilon", 1e-9}};
  testing::internal::CaptureStderr();
  gradients("seam", noise);
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      testing::AllOf(testing::HasSubstr("warning: seam: step 0: the finite difference on 'harmful'"),
                     testing::HasSubstr("warning: seam: step 0: the finite difference on 'general'")));
  EXPECT_LT(scalar("fd_moved"), 0.5);

  noise["strict"] = true;
  const auto seam = make("seam", noise);
  Step step = test::make_step(*model, seam->streams(), 6, 6);
  try {
    seam->add_gradients(step);
    FAIL() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::MatchesRegex(
                                  "seam: step 0: the finite difference on 'harmful' is not to be trusted: "
                                  "[0-9]+ % of the weights moved, .*; try hessian=exact or another epsilon"));
  }
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
  test::take_gradients(*model);
  // And a sound one says so in numbers.
  gradients("seam", {{"hessian", "fd_scaled"}, {"epsilon", 1e-4}, {"strict", true}});
  EXPECT_GT(scalar("fd_agreement"), 0.99);
  EXPECT_GT(scalar("fd_moved"), 0.99);
  EXPECT_GT(scalar("fd_exact"), 0.99);
}

TEST_F(SeamTest, HarmfulRowsThatAreTheBenignOnesLeaveNoTermAndNoNaN) {
  const std::vector<TokenRow> same = test::random_rows(1, 6), refusals = test::random_rows(2, 6);
  const auto seam = make("seam", {{"couple", 1}});
  Step step(0, 0, *model,
            {{"harmful", {pack(same)}}, {"general", {pack(same)}}, {"refusals", {pack(refusals)}}});
  scalars = seam->add_gradients(step);
  EXPECT_NEAR(scalar("cosine"), 1, 1e-6);
  EXPECT_LE(test::difference(test::take_gradients(*model),
                             test::sum({{1, layerwise_ascent(batch(1))}, {1, cross_entropy(batch(2))}})),
            1e-4);
}

TEST_F(SeamTest, PresetsAreAsDocumented) {
  for (const char* preset : {"paper", "code"}) {
    const Json options = make("seam", {{"preset", preset}})->options();
    EXPECT_EQ(options["hessian"], "fd_paper");
    EXPECT_EQ(options["epsilon"], 1e-3);
    EXPECT_EQ(options["refuse"], 1.0);
    EXPECT_EQ(options["couple"], 0.01);
  }
  EXPECT_EQ(make("seam", Json::object())->options()["hessian"], "fd_scaled");
}

TEST_F(SeamTest, OptionsThatDoNothingAreRefused) {
  EXPECT_USER_ERROR(make("seam", {{"hessian", "exact"}, {"strict", true}}),
                    "seam: option 'strict' is true, which does nothing with hessian=exact; want it left out");
  EXPECT_USER_ERROR(make("seam", {{"couple", 0}, {"check_every", 5}}),
                    "seam: option 'check_every' is 5, which does nothing with couple=0; want it left out");
  const Json manifest = make("seam", {{"preset", "paper"}, {"couple", 0}})->options();
  EXPECT_EQ(make("seam", manifest)->options(), manifest) << "what a run recorded can be run again";
}

}  // namespace
}  // namespace caltrop
