// DEM, direct entropy minimisation: the supervised baseline of TokenBuncher's paper (arXiv:2508.20697).
//
//   minimise  H(theta; D_aux) + refuse * L(theta; D_aux) + keep * L(theta; D_general)     streams: D_aux     "refusals"
//   where     H = mean over the refusals' tokens of the entropy of the prediction there            D_general "general"
//
// Teacher-forced, so it sees only the refusals' own tokens and none that sampling would lead to: the paper finds that it does not
// generalise. Differs from the code: cross-entropy of refusals beside it (`refuse`, 0 there), so that what is sharpened is the
// refusal, and of benign answers (`keep`, 0 there), so that the rest is left as it was. Cost per step: 3 passes forward and
// backward; logits of refusals exist whole. Watch: entropy falls, keep_loss stays.
//
// Tested by tests/defences/token_buncher_test.cc.
#include "caltrop/loss/entropy.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct DemOptions {
  double minimise = 1.0;
  double refuse = 1.0;
  double keep = 1.0;

  static auto fields() {
    using O = DemOptions;
    return std::tuple{
        field("minimise", &O::minimise, 0, 1e3, "weight of the entropy; 0 turns it off"),
        field("refuse", &O::refuse, 0, 1e3, "weight of refusing; 0 in the code"),
        field("keep", &O::keep, 0, 1e3, "weight of answering benign requests as before; 0 in the code")};
  }
};

class Dem final : public Objective {
 public:
  explicit Dem(DemOptions options) : options_(options) {}

  std::vector<std::string> streams() const override { return {"refusals", "general"}; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"entropy", "nats/token", "lower", "of the predictions along refusals"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"}};
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss(), options_.refuse)},
                    {"keep_loss", step.accumulate("general", answer_loss(), options_.keep)}};
    if (options_.minimise > 0)
      scalars.emplace_back("entropy", step.accumulate("refusals", entropy_loss(), options_.minimise));
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  DemOptions options_;
};

}  // namespace

extern const Entry dem_entry;
const Entry dem_entry{.name = "dem",
                      .paper = "arXiv:2508.20697",
                      .summary = "entropy of refusals is minimised directly, the baseline of TokenBuncher",
                      .describe = describe_options<DemOptions>,
                      .make = [](const Json& given) -> std::unique_ptr<Objective> {
                        DemOptions options;
                        read_options(options, given, "dem");
                        return std::make_unique<Dem>(options);
                      }};

}  // namespace caltrop
