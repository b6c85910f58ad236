// RepNoise, representation noising (arXiv:2405.14577): leave nothing in the hidden states that harm could be relearnt from.
//
//   minimise  L(theta; D_safe)  +  beta * (1/L) sum_l MMD( mlp_l(D_harm), noise )  -  alpha * log(1 + ascent)
//   where     mlp_l  = what the MLP of layer l puts out over a restricted answer, flattened          streams: D_safe "refusals"
//             noise  ~ N(0, 1), drawn anew each step                                                 D_harm "harmful"
//             ascent = mean over h_0 .. h_L of the cross-entropy of restricted answers read there    keep: "general"
//             beta = noise_weight, alpha = ascend
//
// MMD has five Gaussian kernels (loss/noise.h). Differs from the code: losses over answers alone where it masks tokens that
// happen to equal the refusal's, so that a restricted answer and its refusal need not stand in one batch, and do not: each stream
// has an order of its own. mlp_l is read where a token of the answer is predicted, the code's at the token itself, one position
// later; and rows are laid one above the other from the first token of their answers on, the code's from that of their prompts.
// The last state is normed once and counts once (the code reads it a second time beside the model's own output), and the
// distances are fp32: over T d coordinates they drown in bf16. MMD compares the rows of one micro-batch, so `train.micro_batch`
// changes it. `keep` adds benign answers (0 in preset `code`). The authors call a search over rate, alpha, beta and samples
// "always required". Cost per step: 3 forward and 3 backward passes (4 with keep); 1 copy of the weights. Watch: noise_loss must
// fall, layers_loss rise, refuse_loss and keep_loss stay. The effect is known to wear off: look at the patience curve.
//
// Tested by tests/defences/repnoise_test.cc and official_test.cc.
#include <ATen/ATen.h>

#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/loss/layers.h"
#include "caltrop/loss/noise.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct RepNoiseOptions {
  std::string preset = "ours";
  double noise_weight = 0.001;
  double ascend = 1.0;
  double keep = 1.0;

  static auto fields() {
    using O = RepNoiseOptions;
    return std::tuple{
        field("preset", &O::preset, {"code", "ours"}, "where the other defaults come from"),
        field("noise_weight", &O::noise_weight, 0, 1e3, "beta: weight of looking like noise; 0 turns it off"),
        field("ascend", &O::ascend, 0, 1e3, "alpha: weight of the layer-wise ascent; 0 turns it off"),
        field("keep", &O::keep, 0, 1e3, "weight of answering benign requests as before")};
  }

  static RepNoiseOptions of(const std::string& preset) {
    RepNoiseOptions options;
    options.preset = preset;
    if (preset == "code") options.keep = 0;
    return options;
  }
};

/// Standard normal values from a named stream, so that a resumed run draws the same.
Tensor normal_like(RandomStream random, const Tensor& like) {
  std::vector<float> values(static_cast<size_t>(like.numel()));
  for (float& value : values) value = static_cast<float>(random.normal());
  return at::tensor(values, at::kFloat).view(like.sizes()).to(like.device());
}

class RepNoise final : public Objective {
 public:
  explicit RepNoise(RepNoiseOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override {
    if (options_.keep == 0) return {"refusals", "harmful"};
    return {"refusals", "harmful", "general"};
  }
  int64_t weight_copies() const override { return 1; }
  bool reads_every_layer() const override { return options_.ascend > 0; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
            {"noise_loss", "", "lower",
             "MMD between what the MLPs say on restricted answers and noise, mean over layers"},
            {"layers_loss", "nats/token", "higher",
             "cross-entropy of restricted answers read from all layers, mean"}};
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss())}};
    if (options_.keep > 0)
      scalars.emplace_back("keep_loss", step.accumulate("general", answer_loss(), options_.keep));
    if (options_.noise_weight > 0) {
      const LossFn noise = noise_loss([&](int64_t part, int64_t layer, const Tensor& like) {
        return normal_like(step.random(fmt::format("noise of layer {} for micro-batch {}", layer, part)),
                           like);
      });
      scalars.emplace_back("noise_loss", step.accumulate("harmful", noise, options_.noise_weight));
    }
    if (options_.ascend > 0) {
      const Measured layers = step.measure("harmful", layerwise_loss());
      step.add(layers.gradients,
               -options_.ascend / (1 + layers.loss.item<double>()));  // of the logarithm of the batch's mean
      scalars.emplace_back("layers_loss", layers.loss);
    }
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  RepNoiseOptions options_;
};

}  // namespace

extern const Entry repnoise_entry;
const Entry repnoise_entry{
    .name = "repnoise",
    .paper = "arXiv:2405.14577",
    .summary = "hidden states of restricted answers are made to look like noise",
    .describe = describe_options<RepNoiseOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      return std::make_unique<RepNoise>(read_preset<RepNoiseOptions>(given, "repnoise"));
    }};

}  // namespace caltrop
