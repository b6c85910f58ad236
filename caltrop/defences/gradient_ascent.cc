// gradient_ascent: unlearning in its plainest form, the baseline that NPO, RepNoise and SEAM improve on.
//
//   minimise  -unlearn * min(L(theta; D_harm), cap) + L(theta; D_align) + keep * L(theta; D_general)
//   streams:  D_harm "harmful", D_align "refusals", D_general "general"
//
// Unbounded ascent destroys the model, so past `cap` nats a token it stops pushing. Cost per step: 3 forward and 3 backward
// passes; 1 copy of the gradients. Watch: harmful_loss rises to the cap while keep_loss stands still. Mean NLL says little about what the
// model can still do: a few tokens at enormous loss raise it and leave fluent text.
//
// Tested by tests/defences/unlearning_test.cc.
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct GradientAscentOptions {
  double unlearn = 1.0;
  double cap = 8.0;
  double keep = 1.0;

  static auto fields() {
    using O = GradientAscentOptions;
    return std::tuple{
        field("unlearn", &O::unlearn, 0, 1e3, "weight of the ascent; 0 turns it off"),
        field("cap", &O::cap, 0, 1e3, "nats a token up to which restricted answers are pushed away"),
        field("keep", &O::keep, 0, 1e3, "weight of answering benign requests as before; 0 turns it off")};
  }
};

class GradientAscent final : public Objective {
 public:
  explicit GradientAscent(GradientAscentOptions options) : options_(options) {}

  std::vector<std::string> streams() const override {
    if (options_.keep == 0) return {"harmful", "refusals"};
    return {"harmful", "refusals", "general"};
  }
  int64_t weight_copies() const override { return 1; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"harmful_loss", "nats/token", "higher", "cross-entropy of restricted answers"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"}};
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss())}};
    if (options_.keep > 0)
      scalars.emplace_back("keep_loss", step.accumulate("general", answer_loss(), options_.keep));
    const Measured harmful = step.measure("harmful", answer_loss());
    // A loss that is no number is added too, so that the trainer sees it.
    if (!(harmful.loss.item<double>() >= options_.cap)) step.add(harmful.gradients, -options_.unlearn);
    scalars.emplace_back("harmful_loss", harmful.loss);
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  GradientAscentOptions options_;
};

}  // namespace

extern const Entry gradient_ascent_entry;
const Entry gradient_ascent_entry{
    .name = "gradient_ascent",
    .paper = "",
    .summary = "pushes restricted answers away up to a cap, and keeps refusals and benign answers",
    .describe = describe_options<GradientAscentOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      GradientAscentOptions options;
      read_options(options, given, "gradient_ascent");
      return std::make_unique<GradientAscent>(options);
    }};

}  // namespace caltrop
