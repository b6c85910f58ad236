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
// machine is fast at; the step may be measured in the length of theta, along a unit direction (`fd_scaled`, `fd_central`), or the
// product is exact (`exact`, differentiating twice, also in bf16).
//
// Differs from the code, and why: losses over answers alone where the code masks by comparing token ids with the refusal (D2 and D3
// of its quirks); so a restricted answer and its refusal need not stand in one batch, and do not: each stream has an order of its
// own. The last state is normed once and counts once, where the code reads it a second time beside the model's own output;
// `train.clip` clips in every preset, the code does not. Under LoRA the gradients, norms and steps are still those of all weights.
// Differs from the paper: L_ul layer by layer under a logarithm, as in the code; plain ascent diverges. Beyond that paper and code
// differ in data and batch alone, so these two presets are the same options.
//
// Cost per step: 5 forward and 6 backward passes (fd_central 7 and 8, exact 7 and 8 of the plain operators), a check 12 and 12 more
// (fd_central 18 and 18), 8 and 8 (10 and 10) of them on one row; 5 copies of the weights (central and exact 6), in a check 7.
// Watch: cosine must fall; harmful_loss tells whether L_ul runs away; fd_moved, fd_agreement and fd_exact (every check_every steps,
// the worse of both products) must be near 1, or the difference is rounding noise: then a warning, and with `strict` the end.
//
// Tested by tests/defences/seam_test.cc, official_test.cc and tests/train/hessian_test.cc.
#include <ATen/ATen.h>

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

  static auto fields() {
    using O = SeamOptions;
    return std::tuple_cat(
        std::tuple{
            field("preset", &O::preset, {"paper", "code", "ours"}, "where the other defaults come from"),
            field("refuse", &O::refuse, 0, 1e3, "alpha: weight of refusing"),
            field("couple", &O::couple, 0, 1e3, "beta: weight of opposing the gradients; 0 turns it off"),
            field("unlearn", &O::unlearn, 0, 1e3, "weight of the layer-wise ascent on harmful answers")},
        HessianOptions::fields());
  }

  static SeamOptions of(const std::string& preset) {
    SeamOptions options;
    options.preset = preset;
    if (preset != "ours") options.hessian = "fd_paper", options.epsilon = 1e-3;
    return options;
  }
};

class Seam final : public Objective {
 public:
  explicit Seam(SeamOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override { return {"harmful", "refusals", "general"}; }
  int64_t weight_copies() const override {
    return options_.couple > 0 ? /*two gradients and a direction*/ 3 + options_.copies() : 2;
  }
  bool reads_every_layer() const override { return true; }
  bool needs_fp32() const override { return options_.couple > 0 && options_.takes_differences(); }

  std::vector<MetricDeclaration> logged() const override {
    std::vector<MetricDeclaration> numbers{
        {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
        {"harmful_loss", "nats/token", "", "cross-entropy of restricted answers"},
        {"general_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
        {"layers_loss", "nats/token", "higher",
         "cross-entropy of restricted answers read from all layers, mean"},
        {"cosine", "", "lower", "of the harmful and the benign gradient: the trap"},
        {"harmful_norm", "", "", "norm of the harmful gradient"},
        {"general_norm", "", "", "norm of the benign gradient"}};
    for (MetricDeclaration& check : difference_checks()) numbers.push_back(std::move(check));
    return numbers;
  }

  Scalars add_gradients(Step& step) override {
    // 1. Refuse, and unlearn the answers in every layer. The logarithm is of the whole batch's mean, so it is taken here.
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss(), options_.refuse)}};
    std::vector<Measured> harmful = step.measure("harmful", {layerwise_loss(), answer_loss()});
    step.add(harmful[0].gradients, -options_.unlearn / (1 + harmful[0].loss.item<double>()));
    scalars.emplace_back("layers_loss", harmful[0].loss);
    harmful[0].gradients.clear();  // a copy of the weights less for what follows

    // 2. The two gradients.
    const LossGradient a = with_norm("harmful", answer_loss(), std::move(harmful[1])),
                       b = measure_gradient(step, "general", answer_loss());
    scalars.emplace_back("harmful_loss", a.here.loss);
    scalars.emplace_back("general_loss", b.here.loss);
    scalars.emplace_back("cosine", at::tensor(cosine(a, b)));
    scalars.emplace_back("harmful_norm", at::tensor(a.norm));
    scalars.emplace_back("general_norm", at::tensor(b.norm));

    // 3. Push them apart: each loss's Hessian along what the other gradient adds to its own.
    if (options_.couple > 0) add_cosine_gradient(step, a, b, options_.couple, options_, "seam", scalars);
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
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
      SeamOptions options = read_preset<SeamOptions>(given, "seam");
      options.check_used(given, SeamOptions::of(options.preset), options.couple > 0 ? "" : "with couple=0",
                         "seam");
      return std::make_unique<Seam>(std::move(options));
    }};

}  // namespace caltrop
