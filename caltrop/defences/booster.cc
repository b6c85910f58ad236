// Booster (arXiv:2409.01586): make the harmful loss hard to lower from here.
//
// Keep refusing, and attenuate what one harmful step would gain:
//
//   minimise  f(theta) + lambda * ( h(theta) - h(theta - alpha * g/|g|) )      lambda = attenuate, alpha = look_ahead
//   where     f = L(theta; D_align)       g = gradient of h                    streams: D_align "refusals",
//             h = L(theta; D_harm)                                             D_harm "harmful"; keep: "general"
//
// First order, as in paper and code: g/|g| is a constant, so the gradient is grad f + lambda (grad h(theta) - grad h(theta')).
// Differs from the code: `keep` adds benign answers (0 in the preset `code`), because full parameters at a rate that trains
// forget what LoRA leaves alone; and under LoRA the imagined step is one of all weights, with the norm of theirs, where the
// code's is one of the factors. Cost per step: 3 forward and 3 backward passes (4 with keep); 1 copy of the weights, 2 of the
// gradients. Watch: harmful_drop, what the imagined step gains, must shrink, while keep_loss stands still. Its effect is known to
// wear off: look at the patience curve. A negative harmful_drop is a look-ahead that overshoots: then the model is taught the
// restricted answers (0.5 instead of 0.1 on SmolLM2: harmful_loss 1.90 -> 0.91 in 40 steps, and 21 % of requests still refused).
//
// Tested by tests/defences/booster_test.cc.
#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct BoosterOptions {
  std::string preset = "ours";
  double attenuate = 5.0;
  double look_ahead = 0.1;
  double keep = 1.0;

  static auto fields() {
    using O = BoosterOptions;
    return std::tuple{
        field("preset", &O::preset, {"code", "ours"}, "where the other defaults come from"),
        field("attenuate", &O::attenuate, 0, 1e3, "lambda: weight of the regulariser; 0 turns it off"),
        field("look_ahead", &O::look_ahead, 0, 1e3, "alpha: length of the imagined attacker's step"),
        field("keep", &O::keep, 0, 1e3, "weight of answering benign requests as before")};
  }

  static BoosterOptions of(const std::string& preset) {
    BoosterOptions options;
    options.preset = preset;
    if (preset == "code") options.keep = 0;
    return options;
  }
};

class Booster final : public Objective {
 public:
  explicit Booster(BoosterOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override {
    if (options_.keep == 0) return {"refusals", "harmful"};
    return {"refusals", "harmful", "general"};
  }
  int64_t weight_copies() const override { return 3; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
            {"harmful_loss", "nats/token", "", "cross-entropy of restricted answers"},
            {"harmful_drop", "nats/token", "lower", "what the imagined attacker's step gains"}};
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss())}};
    if (options_.keep > 0)
      scalars.emplace_back("keep_loss", step.accumulate("general", answer_loss(), options_.keep));
    if (options_.attenuate == 0) return scalars;

    const Measured here = step.measure("harmful", answer_loss());
    const double length = options_.look_ahead / (global_norm(here.gradients).item<double>() + 1e-7);
    step.add(here.gradients, options_.attenuate);
    Tensor there;
    {
      const Nudge attacked(step.model(), here.gradients, -length);
      there = step.accumulate("harmful", answer_loss(), -options_.attenuate);
    }
    scalars.emplace_back("harmful_loss", here.loss);
    scalars.emplace_back("harmful_drop", here.loss - there);
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  BoosterOptions options_;
};

}  // namespace

extern const Entry booster_entry;
const Entry booster_entry{.name = "booster",
                          .paper = "arXiv:2409.01586",
                          .summary = "attenuates what one harmful step would gain",
                          .describe = describe_options<BoosterOptions>,
                          .make = [](const Json& given) -> std::unique_ptr<Objective> {
                            return std::make_unique<Booster>(read_preset<BoosterOptions>(given, "booster"));
                          }};

}  // namespace caltrop
