// MLAC, self-destructing models by meta-learned adversarial censoring (arXiv:2211.14946): a start from which harm is hard to learn.
//
//   minimise  good * L(theta; D_general) + refuse * L(theta; D_align) - bad * 1/(K+1) sum_{k=0..K} min(L(theta_k; D_harm), cap)
//   where     theta_0 = theta, theta_{k+1} = theta_k - Adam step on L(.; D_harm), fresh rows each   streams: D_harm "harmful"
//                                                                               D_general "general", D_align "refusals"
//
// `meta: exact` differentiates through the K unrolled Adam steps (MathMode, all graphs in memory: for models of millions, not of
// hundreds of millions, of weights: more than 50 M are refused); `first_order` adds the gradients taken at theta_k, as for large
// models. Differs from the paper's code: language models, so no calibrated linear head (a class-by-class matrix, here it would be
// V by V); `refuse` beside the good task; the attacker's rate is given instead of learnt, his gradients are not clipped (at 100
// there), and his batches are of the step's size, where the code draws one of 12, 24 and 48 rows; the ascent stops at `cap` nats
// a token, since cross-entropy has no upper bound; `exact` has epsilon inside the root, where it is differentiable. Cost per
// step: K+3 passes forward and backward (exact: about three times that, K graphs); first order 4 copies of the weights. Watch:
// adapted_loss, the attacker's mean loss along his way, must rise while keep_loss stands.
//
// Tested by tests/defences/mlac_test.cc: the meta-gradient against finite differences; K = 0 is ascent.
#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/rehearsal.h"

namespace caltrop {
namespace {

struct MlacOptions {
  std::string meta = "first_order";
  int64_t inner_steps = 4;
  double inner_rate = 3e-5;
  double inner_epsilon = 1e-8;
  double bad = 1.0;
  double cap = 8.0;
  double good = 1.0;
  double refuse = 1.0;

  static auto fields() {
    using O = MlacOptions;
    return std::tuple{
        field("meta", &O::meta, {"exact", "first_order"},
              "differentiate through the attacker's steps, or not"),
        field("inner_steps", &O::inner_steps, 0, 1e4, "K: the attacker's steps; 16 in the paper"),
        field("inner_rate", &O::inner_rate, 0, 1, "the attacker's learning rate"),
        field("inner_epsilon", &O::inner_epsilon, 1e-12, 1,
              "Adam's epsilon; larger makes the attacker's way smoother"),
        field("bad", &O::bad, 0, 1e3, "weight of what the attacker is to lose; 0 turns it off"),
        field("cap", &O::cap, 0, 1e3, "nats a token from which an attacker's loss is bad enough"),
        field("good", &O::good, 0, 1e3, "weight of answering benign requests as before"),
        field("refuse", &O::refuse, 0, 1e3, "weight of refusing")};
  }
};

constexpr double kBeta1 = 0.9, kBeta2 = 0.999;
constexpr int64_t kMostUnrolled = 50'000'000;  // weights

class Mlac final : public Objective {
 public:
  explicit Mlac(MlacOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override { return {"harmful", "general", "refusals"}; }
  int64_t weight_copies() const override { return options_.meta == "exact" ? 4 * options_.inner_steps : 4; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"adapted_loss", "nats/token", "higher", "the attacker's loss, mean along his way"}};
  }

  void prepare(const Model& model, const Tokenizer&) override {
    int64_t weights = 0;
    for (const auto& [name, parameter] : model.parameters()) weights += parameter.numel();
    if (options_.meta == "exact" && weights > kMostUnrolled)
      throw UserError(
          "mlac: option 'meta' is exact, which holds the graphs of {} steps of all {} weights; want at most "
          "{} "
          "weights, or first_order",
          options_.inner_steps, weights, kMostUnrolled);
  }

  Scalars add_gradients(Step& step) override {
    const Tensor keep = step.accumulate("general", answer_loss(), options_.good);
    const Tensor refuse = step.accumulate("refusals", answer_loss(), options_.refuse);
    Scalars scalars{{"keep_loss", keep}, {"refuse_loss", refuse}};
    if (options_.bad > 0)
      scalars.emplace_back("adapted_loss", options_.meta == "exact" ? exact(step) : first_order(step));
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  double share() const { return options_.bad / static_cast<double>(options_.inner_steps + 1); }
  static Step rows_of(const Step& step, int64_t k) {
    return step.fresh(fmt::format("attack step {}", k), {"harmful"});
  }

  Tensor first_order(Step& step) const {
    double sum = 0;
    OptimizerOptions adam;
    adam.epsilon = options_.inner_epsilon;
    Rehearsal attacker(step.model(), adam);
    for (int64_t k = 0; k <= options_.inner_steps; ++k) {
      Step rows = rows_of(step, k);
      // One pass for both: the gradient that he follows is the one that is turned round.
      const Measured at_k = rows.measure("harmful", answer_loss());
      sum += account(step, at_k);
      if (k < options_.inner_steps) attacker.follow(at_k.gradients, options_.inner_rate);
    }
    return at::tensor(sum / static_cast<double>(options_.inner_steps + 1));
  }

  double account(Step& step, const Measured& at_k) const {
    const double loss = at_k.loss.item<double>();
    if (!(loss >= options_.cap)) step.add(at_k.gradients, -share());  // NaN too: the trainer must see it
    return loss;
  }

  Tensor exact(Step& step) const {
    const MathMode math;
    const at::AutoGradMode with_gradients(true);
    const NamedTensors& theta = step.model().parameters();
    std::vector<Tensor> weights, mean, square;
    for (const auto& [name, parameter] : theta) {
      weights.push_back(parameter);
      mean.push_back(at::zeros_like(parameter)), square.push_back(at::zeros_like(parameter));
    }
    const std::vector<Tensor> start = weights;
    Tensor total = at::zeros({}), sum = at::zeros({});
    for (int64_t k = 0; k <= options_.inner_steps; ++k) {
      NamedTensors named;
      for (size_t i = 0; i < weights.size(); ++i) named.emplace_back(theta[i].first, weights[i]);
      const Model adapted(step.model().config(), std::move(named), at::kFloat);
      Step rows = rows_of(step, k);
      const Tensor loss = rows.loss_at(adapted, "harmful", answer_loss());
      total = total + loss.clamp_max(options_.cap);
      sum = sum + loss.detach();
      if (k == options_.inner_steps) break;
      const auto gradient =
          torch::autograd::grad({loss}, weights, {}, /*retain_graph=*/true, /*create_graph=*/true);
      const double t = static_cast<double>(k + 1), bias1 = 1 - std::pow(kBeta1, t),
                   bias2 = 1 - std::pow(kBeta2, t);
      for (size_t i = 0; i < weights.size(); ++i) {
        mean[i] = mean[i] * kBeta1 + gradient[i] * (1 - kBeta1);
        square[i] = square[i] * kBeta2 + gradient[i].square() * (1 - kBeta2);
        weights[i] =
            weights[i] - options_.inner_rate * (mean[i] / bias1) /
                             (square[i] / bias2 + options_.inner_epsilon * options_.inner_epsilon).sqrt();
      }
    }
    const auto meta = torch::autograd::grad({total}, start);
    step.add(meta, -share());
    return sum / static_cast<double>(options_.inner_steps + 1);
  }

  MlacOptions options_;
};

}  // namespace

extern const Entry mlac_entry;
const Entry mlac_entry{.name = "mlac",
                       .paper = "arXiv:2211.14946",
                       .summary = "meta-learnt: the attacker's loss along his own way is kept high",
                       .describe = describe_options<MlacOptions>,
                       .make = [](const Json& given) -> std::unique_ptr<Objective> {
                         MlacOptions options;
                         read_options(options, given, "mlac");
                         return std::make_unique<Mlac>(std::move(options));
                       }};

}  // namespace caltrop
