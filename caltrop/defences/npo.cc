// NPO, negative preference optimisation (arXiv:2404.05868): unlearn restricted answers, but not without bound.
//
//   minimise  E_{D_harm} [ -(2/beta) log sigmoid( beta (NLL_theta(y|x) - NLL_ref(y|x)) ) ]  +  retain * R
//   where     NLL is summed over the answer, ref is the model as it was before the first step       streams: D_harm "harmful"
//             R = L(theta; D_general), or KL(ref || theta) on it (`retain_with`)                     D_general "general"
//                 + L(theta; D_align) if refuse > 0                                                  D_align "refusals"
//
// The gradient is that of ascent, weighted by how likely the answer still is compared with before: what is unlearnt is left
// alone. beta -> 0 is gradient ascent. Preset `paper` is the form above with beta 0.1 (TOFU, open-unlearning); `ctrap` is the
// baseline of CTRAP's official code: CE(refusals) + 0.3 NPO with NLL per token and beta 1, which reproduces its tables and
// nothing else. Cost per step: 2 forward and 1 backward pass, and 1 and 1 for each retained stream (KL: 2 and 1); 1 copy of the
// weights. Watch: npo_loss falls from (2/beta) ln 2 (preset `ctrap`: from ln 2); keep_loss must not rise. Hardening of this kind
// wears off under attack.
//
// Tested by tests/defences/unlearning_test.cc and official_test.cc.
#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/loss/reference.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct NpoOptions {
  std::string preset = "ours";
  double beta = 0.1;
  bool per_token = false;
  double unlearn = 1.0;
  double retain = 1.0;
  std::string retain_with = "answers";
  double refuse = 1.0;

  static auto fields() {
    using O = NpoOptions;
    return std::tuple{
        field("preset", &O::preset, {"paper", "ctrap", "ours"}, "where the other defaults come from"),
        field("beta", &O::beta, 1e-6, 1e3,
              "how soon an answer counts as unlearnt; towards 0: gradient ascent"),
        field("per_token", &O::per_token, "NLL per token and no 2/beta, as in CTRAP's code; beta is then 1"),
        field("unlearn", &O::unlearn, 0, 1e3, "weight of the unlearning; 0 turns it off"),
        field("retain", &O::retain, 0, 1e3, "weight of keeping benign answers"),
        field("retain_with", &O::retain_with, {"answers", "kl"},
              "cross-entropy of the answers, or KL to the start model"),
        field("refuse", &O::refuse, 0, 1e3, "weight of refusing; 0 in the paper")};
  }

  static NpoOptions of(const std::string& preset) {
    NpoOptions options;
    options.preset = preset;
    if (preset == "paper") options.refuse = 0;
    if (preset == "ctrap")
      options.per_token = true, options.unlearn = 0.3, options.retain = 0, options.beta = 1;
    return options;
  }
};

/// Throws UserError where an option is given that does nothing beside the others.
NpoOptions checked(NpoOptions options, const Json& given) {
  if (options.per_token) {
    if (given.contains("beta") && options.beta != 1)
      throw UserError("npo: option 'beta' is {}, and with per_token it is 1; want it left out", options.beta);
    options.beta = 1;
  }
  if (options.retain == 0 && options.retain_with != NpoOptions().retain_with)
    throw UserError("npo: option 'retain_with' is '{}', which does nothing with retain=0; want it left out",
                    options.retain_with);
  return options;
}

class Npo final : public Objective {
 public:
  explicit Npo(NpoOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override {
    std::vector<std::string> names{"harmful"};
    if (options_.retain > 0) names.emplace_back("general");
    if (options_.refuse > 0) names.emplace_back("refusals");
    return names;
  }
  int64_t weight_copies() const override { return 1; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"npo_loss", "nats", "lower", "the unlearning loss, a row"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of, or KL on, answers to benign requests"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"}};
  }

  void prepare(const Model& model, const Tokenizer&) override { reference_ = model.frozen_copy(); }

  Scalars add_gradients(Step& step) override {
    const Tensor head = reference_->head();
    Scalars scalars;
    if (options_.unlearn > 0) {
      std::vector<Tensor> hidden = step.hidden_of("harmful", *reference_);
      const LossFn loss = options_.per_token ? npo_loss_per_token(std::move(hidden), head)
                                             : npo_loss(options_.beta, std::move(hidden), head);
      scalars.emplace_back("npo_loss", step.accumulate("harmful", loss, options_.unlearn));
    }
    if (options_.retain > 0) {
      const LossFn loss = options_.retain_with == "kl" ? kl_loss(step.hidden_of("general", *reference_), head)
                                                       : answer_loss();
      scalars.emplace_back("keep_loss", step.accumulate("general", loss, options_.retain));
    }
    if (options_.refuse > 0)
      scalars.emplace_back("refuse_loss", step.accumulate("refusals", answer_loss(), options_.refuse));
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  NpoOptions options_;
  std::shared_ptr<const Model> reference_;
};

}  // namespace

extern const Entry npo_entry;
const Entry npo_entry{.name = "npo",
                      .paper = "arXiv:2404.05868",
                      .summary = "negative preference optimisation: bounded unlearning of restricted answers",
                      .describe = describe_options<NpoOptions>,
                      .make = [](const Json& given) -> std::unique_ptr<Objective> {
                        return std::make_unique<Npo>(checked(read_preset<NpoOptions>(given, "npo"), given));
                      }};

}  // namespace caltrop
