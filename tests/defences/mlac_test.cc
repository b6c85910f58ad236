#include <cmath>

#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

class MlacTest : public test::MethodTest {
 protected:
  static Json options(const std::string& meta, int64_t steps) {
    return {{"meta", meta}, {"inner_steps", steps}, {"inner_rate", 1e-2},
            {"good", 0},    {"refuse", 0},          {"cap", 1000}};
  }
};

TEST_F(MlacTest, WithoutInnerStepsItIsAscent) {
  Step step = test::make_step(*model, {"harmful", "general", "refusals"}, 6, 6);
  Step rows = step.fresh("attack step 0", {"harmful"});
  const Gradients ascent = test::sum({{-1, rows.measure("harmful", answer_loss()).gradients}});
  EXPECT_LE(test::difference(gradients("mlac", options("exact", 0)), ascent), 1e-4);
  EXPECT_LE(test::difference(gradients("mlac", options("first_order", 0)), ascent), 1e-5);
}

TEST_F(MlacTest, TheMetaGradientIsTheSlopeOfTheAdaptedLoss) {
  // Adam turns a gradient into little more than its sign; a large epsilon makes the way smooth enough for differences.
  Json smooth = options("exact", 2);
  smooth["inner_epsilon"] = 0.1;
  smooth["inner_rate"] = 0.05;
  const auto mlac = make("mlac", smooth);
  const Gradients meta = gradients(*mlac);
  // Against a random direction and against itself.
  at::manual_seed(5);
  Gradients random;
  for (const Tensor& g : meta) random.push_back(at::randn_like(g));
  for (Gradients direction : {meta, random}) {
    const double norm = global_norm(direction).item<double>();
    for (Tensor& d : direction) d = d / norm;
    const auto adapted = [&](double scale) {
      const Nudge there(*model, direction, scale);
      Step step = test::make_step(*model, mlac->streams(), 6, 6);
      scalars = mlac->add_gradients(step);
      test::take_gradients(*model);
      return scalar("adapted_loss");
    };
    const double h = 1e-3, slope = (adapted(h) - adapted(-h)) / (2 * h);
    const double expected =
        -inner_product(meta, direction).item<double>();  // the method descends on minus the loss
    EXPECT_NEAR(slope, expected, 0.02 * std::max(1.0, std::abs(expected)) + 0.02);
  }
}

TEST_F(MlacTest, FirstOrderFollowsTheSameWay) {
  gradients("mlac", options("exact", 3));
  const double exact = scalar("adapted_loss");
  gradients("mlac", options("first_order", 3));
  EXPECT_NEAR(scalar("adapted_loss"), exact, 2e-3)
      << "epsilon inside or outside the root is all the difference";
}

TEST_F(MlacTest, FirstOrderSumsTheGradientsOfTheWayByHand) {
  const double rate = 1e-2, epsilon = 1e-3, bad = 0.6;
  Json two = options("first_order", 2);
  two["bad"] = bad, two["inner_epsilon"] = epsilon;
  const Gradients ours = gradients("mlac", two);

  // Two steps of Adam, weight by weight.
  Step step = test::make_step(*model, {"harmful", "general", "refusals"}, 6, 6);
  Gradients mean, square;
  std::vector<Gradients> way;
  for (int k = 0; k <= 2; ++k) {
    Step rows = step.fresh(fmt::format("attack step {}", k), {"harmful"});
    way.push_back(rows.measure("harmful", answer_loss()).gradients);
    if (k == 2) break;
    const at::NoGradGuard off;
    for (size_t i = 0; i < before.size(); ++i) {
      const Tensor& g = way.back()[i];
      if (k == 0) mean.push_back(at::zeros_like(g)), square.push_back(at::zeros_like(g));
      mean[i] = 0.9 * mean[i] + 0.1 * g;
      square[i] = 0.999 * square[i] + 0.001 * g * g;
      const Tensor first = mean[i] / (1 - std::pow(0.9, k + 1)),
                   second = square[i] / (1 - std::pow(0.999, k + 1));
      model->parameters()[i].second.sub_(rate * first / (second.sqrt() + epsilon));
    }
  }
  const double share = bad / 3;
  EXPECT_LE(test::difference(ours, test::sum({{-share, way[0]}, {-share, way[1]}, {-share, way[2]}})), 1e-4);
}

TEST_F(MlacTest, TooManyWeightsAreNotUnrolled) {
  Json config = test::tiny_config();
  config["vocab_size"] = 2'500'000;
  const ModelConfig large = read_model_config(config, "large");
  NamedTensors parameters;  // never touched, so no memory either
  for (const auto& [name, shape] : parameter_shapes(large)) parameters.emplace_back(name, at::empty(shape));
  int64_t weights = 0;
  for (const auto& [name, parameter] : parameters) weights += parameter.numel();
  const Model model_of_60m(large, std::move(parameters), at::kFloat);
  const Entry& mlac = find_entry(all_defences(), "defence", "mlac");
  EXPECT_USER_ERROR(
      mlac.make({{"meta", "exact"}})->prepare(model_of_60m, tokenizer),
      fmt::format("mlac: option 'meta' is exact, which holds the graphs of 4 steps of all {} weights; "
                  "want at most 50000000 weights, or first_order",
                  weights));
  mlac.make({{"meta", "first_order"}})->prepare(model_of_60m, tokenizer);
}

TEST_F(MlacTest, TheCapEndsTheAscent) {
  Json capped = options("first_order", 1);
  capped["cap"] = 0.01;
  EXPECT_EQ(global_norm(gradients("mlac", capped)).item<double>(), 0);
}

}  // namespace
}  // namespace caltrop
