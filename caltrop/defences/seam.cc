// SEAM, self-destructive language model (arXiv:2505.12186): make harmful and benign gradients point apart.
//
// If the gradient that teaches harm is opposed to the gradient that keeps ability, an attacker's step down the one is a step
// up the other, and harmful fine-tuning undoes the model that it needs:
//
//   minimise  L_ul + alpha * L_up + beta * L_sd                  alpha = refuse, beta = couple
//   where     L_sd = cos(g_a, g_b)      g_a = gradient of L(theta; D_adv)                streams: D_adv "harmful",
//             L_up = L(theta; D_aln)    g_b = gradient of L(theta; D_bgn)                D_aln "refusals", D_bgn "general"
//             L_ul = -log(1 + mean over layers of L read from h_0 .. h_L; D_adv)
//
// The gradient of the cosine is a Hessian term, with unit gradients ga = g_a/|g_a|, gb = g_b/|g_b| and c = <ga, gb>:
//
//   grad L_sd = H_a (gb - c ga) / |g_a| + H_b (ga - c gb) / |g_b|
//
// The paper takes it by a one-sided difference of length epsilon = 1e-3 (`hessian: fd_paper`). Spread over all weights such a
// step is lost where weights are bf16, and the difference where gradients are, so with differences both are fp32 whatever the
// machine is fast at; the step may be measured in the length of theta (`fd_scaled`, `fd_central`), or the product is exact
// (`exact`, differentiating twice, also in bf16). Differs from the code, and why: losses over answers alone where the code masks by
// comparing token ids with the refusal (D2 and D3 of its quirks); the last state is normed once and counts once, where the code
// reads it a second time beside the model's own output; `train.clip` clips in every preset, the code does not. Differs from the
// paper: L_ul layer by layer under a logarithm, as in the code; plain ascent diverges.
// Cost per step: 6 forward and 6 backward passes (fd_central 8 and 8, exact 8 and 8 of the plain operators); 1 copy of the
// weights, 4 of the gradients. Watch: cosine must fall; harmful_loss tells whether L_ul runs away; fd_moved and fd_agreement
// (every check_every steps) must be near 1, or the difference is rounding noise: then a warning, and with `strict` the end.
//
// Tested by tests/defences/seam_test.cc.
#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/loss/layers.h"
#include "caltrop/train/hessian.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct SeamOptions : HessianOptions {
  std::string preset = "ours";
  double refuse = 1.0;
  double couple = 0.01;
  double unlearn = 1.0;
  int64_t check_every = 50;
  bool strict = false;

  static auto fields() {
    using O = SeamOptions;
    return std::tuple_cat(
        std::tuple{
            field("preset", &O::preset, {"paper", "code", "ours"}, "where the other defaults come from"),
            field("refuse", &O::refuse, 0, 1e3, "alpha: weight of refusing"),
            field("couple", &O::couple, 0, 1e3, "beta: weight of opposing the gradients; 0 turns it off"),
            field("unlearn", &O::unlearn, 0, 1e3, "weight of the layer-wise ascent on harmful answers")},
        HessianOptions::fields(),
        std::tuple{
            field("check_every", &O::check_every, 0, 1e9, "steps between checks of the difference; 0: never"),
            field("strict", &O::strict, "end the run when a check fails, instead of warning")});
  }

  static SeamOptions of(const std::string& preset) {
    SeamOptions options;
    options.preset = preset;
    if (preset != "ours") options.hessian = "fd_paper", options.epsilon = 1e-3;
    return options;
  }
};

/// x/|x| - c y/|y|.
Gradients unit_rest(const Gradients& x, double norm_x, const Gradients& y, double norm_y, double c) {
  Gradients rest;
  for (size_t i = 0; i < x.size(); ++i) rest.push_back(x[i] / norm_x - y[i] * (c / norm_y));
  return rest;
}

class Seam final : public Objective {
 public:
  explicit Seam(SeamOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override { return {"harmful", "refusals", "general"}; }
  int64_t weight_copies() const override { return 5; }
  bool needs_fp32() const override { return options_.couple > 0 && options_.takes_differences(); }

  std::vector<MetricDeclaration> logged() const override {
    return {{"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"harmful_loss", "nats/token", "", "cross-entropy of restricted answers"},
            {"general_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
            {"layers_loss", "nats/token", "higher",
             "cross-entropy of restricted answers read from all layers, mean"},
            {"cosine", "", "lower", "of the harmful and the benign gradient: the trap"},
            {"harmful_norm", "", "", "norm of the harmful gradient"},
            {"general_norm", "", "", "norm of the benign gradient"},
            {"fd_moved", "share", "higher", "weights that really changed under the difference's step"},
            {"fd_agreement", "", "higher", "cosine of the Hessian products at one and at two steps' length"}};
  }

  Scalars add_gradients(Step& step) override {
    // 1. Refuse, and unlearn the answers in every layer. The logarithm is of the whole batch's mean, so it is taken here.
    const Tensor refuse = step.accumulate("refusals", answer_loss(), options_.refuse);
    const Measured layers = step.measure("harmful", layerwise_loss());
    step.add(layers.gradients, -options_.unlearn / (1 + layers.loss.item<double>()));

    // 2. The two gradients.
    const Measured a = step.measure("harmful", answer_loss()), b = step.measure("general", answer_loss());
    const double norm_a = global_norm(a.gradients).item<double>(),
                 norm_b = global_norm(b.gradients).item<double>();
    const double cosine = inner_product(a.gradients, b.gradients).item<double>() / (norm_a * norm_b);
    Scalars scalars{{"refuse_loss", refuse},
                    {"harmful_loss", a.loss},
                    {"general_loss", b.loss},
                    {"layers_loss", layers.loss},
                    {"cosine", at::tensor(cosine)},
                    {"harmful_norm", at::tensor(norm_a)},
                    {"general_norm", at::tensor(norm_b)}};
    if (options_.couple == 0) return scalars;

    // 3. Push them apart: each loss's Hessian along what the other gradient adds to its own.
    HessianProduct of_a(step, "harmful", answer_loss(), a,
                        unit_rest(b.gradients, norm_b, a.gradients, norm_a, cosine), options_);
    step.add(of_a(), options_.couple / norm_a);
    HessianProduct of_b(step, "general", answer_loss(), b,
                        unit_rest(a.gradients, norm_a, b.gradients, norm_b, cosine), options_);
    step.add(of_b(), options_.couple / norm_b);
    if (options_.check_every > 0 && step.number() % options_.check_every == 0)
      check(step.number(), of_a.check(), scalars);
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  void check(int64_t number, const HessianProduct::Check& found, Scalars& scalars) const {
    scalars.emplace_back("fd_moved", at::tensor(found.moved));
    scalars.emplace_back("fd_agreement", at::tensor(found.agreement));
    // Embeddings of tokens that no row holds hardly move; the rest must.
    if (found.moved >= 0.5 && found.agreement >= 0.9) return;
    const std::string what = fmt::format(
        "seam: step {}: the finite difference is not to be trusted: {:.0f} % of the weights moved, and the "
        "Hessian products at "
        "one and two steps' length agree to {:.2f} (cosine), want 50 % and 0.90; try hessian=exact or "
        "another epsilon",
        number, 100 * found.moved, found.agreement);
    if (options_.strict) throw UserError("{}", what);
    warn("{}", what);
  }

  SeamOptions options_;
};

}  // namespace

extern const Entry seam_entry;
const Entry seam_entry{
    .name = "seam",
    .paper = "arXiv:2505.12186",
    .summary =
        "harmful and benign gradients are made to point apart, so that learning harm unlearns the rest",
    .describe = describe_options<SeamOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      return std::make_unique<Seam>(read_preset<SeamOptions>(given, "seam"));
    }};

}  // namespace caltrop
