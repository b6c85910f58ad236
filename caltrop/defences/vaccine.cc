// Vaccine (arXiv:2402.01109): be aligned also where harmful fine-tuning will have moved the hidden states.
//
// Harmful fine-tuning drifts the embeddings. Find the drift of a given size that would hurt alignment most, and align there:
//
//   minimise  max_{|eps| <= rho} L(theta; D_align) with eps added to the output of each layer's attention
//   where     eps_l = rho * g_l / |g|,   g_l = gradient of L in that output, g = all of them      streams: D_align "refusals"
//                                                                                                 keep: "general"
//
// First order in eps, as in paper and code: eps is a constant of the second pass. Differs from the code: nothing is added at
// padding, for there is none; `keep` adds benign answers, unperturbed (0 in preset `code`). Cost per step: 2 forward and 2
// backward passes (3 with keep); no copies. Watch: drifted_loss falls toward refuse_loss. Vaccine is no trap: nothing collapses,
// it only makes the first steps of an attack cost more.
//
// Tested by tests/defences/vaccine_test.cc.
#include <ATen/ATen.h>

#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct VaccineOptions {
  std::string preset = "ours";
  double drift = 2.0;
  double keep = 1.0;

  static auto fields() {
    using O = VaccineOptions;
    return std::tuple{
        field("preset", &O::preset, {"code", "booster", "ours"}, "where the other defaults come from"),
        field("drift", &O::drift, 0, 1e4, "rho: size of the drift; 0 is plain alignment"),
        field("keep", &O::keep, 0, 1e3, "weight of answering benign requests as before")};
  }

  static VaccineOptions of(const std::string& preset) {
    VaccineOptions options;
    options.preset = preset;
    if (preset == "booster") options.drift = 5;  // the repositories of Booster and CTRAP
    if (preset != "ours") options.keep = 0;
    return options;
  }
};

class Vaccine final : public Objective {
 public:
  explicit Vaccine(VaccineOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override {
    if (options_.keep == 0) return {"refusals"};
    return {"refusals", "general"};
  }

  Beginnings beginnings() const override { return Beginnings::kSeparate; }  // each row has a drift of its own

  std::vector<MetricDeclaration> logged() const override {
    return {{"drifted_loss", "nats/token", "lower", "cross-entropy of refusals under the worst drift"},
            {"drift_gradient", "", "", "norm of the gradient in the attention outputs"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"}};
  }

  Scalars add_gradients(Step& step) override {
    ActivationShifts drift = step.attention_gradients("refusals", answer_loss());
    Gradients all;
    for (const std::vector<Tensor>& part : drift) all.insert(all.end(), part.begin(), part.end());
    const Tensor norm = global_norm(all);
    for (const Tensor& g : all)
      g.mul_(options_.drift / (norm.item<double>() + 1e-7));  // in place: `drift` is now eps
    Scalars scalars{{"drifted_loss", step.accumulate("refusals", answer_loss(), 1.0, drift)},
                    {"drift_gradient", norm}};
    if (options_.keep > 0)
      scalars.emplace_back("keep_loss", step.accumulate("general", answer_loss(), options_.keep));
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  VaccineOptions options_;
};

}  // namespace

extern const Entry vaccine_entry;
const Entry vaccine_entry{
    .name = "vaccine",
    .paper = "arXiv:2402.01109",
    .summary = "aligned also under the drift of hidden states that hurts alignment most",
    .describe = describe_options<VaccineOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      return std::make_unique<Vaccine>(read_preset<VaccineOptions>(given, "vaccine"));
    }};

}  // namespace caltrop
