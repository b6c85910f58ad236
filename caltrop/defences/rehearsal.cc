// Rehearsal: a trap where real attacks lead. Caltrop's own.
//
// Published traps look one gradient ahead, and an optimizer walks out of that neighbourhood in a few steps. Here the attack and its
// benign twin are really trained for a while every few steps, from the weights as they are (train/displacement.h), and the model is
// trained on where they led:
//
//   minimise  keep [ L(theta; D_refuse) + L(theta; D_general) ]                             streams: D_refuse  "refusals"
//           + benign [ L(theta + s D_b; D_refuse) + L(theta + s D_b; D_general) ]                    D_general "general"
//           + trap_weight [ C(theta + s D_h; D_general) - C(theta; D_general) ]                      D_h from  "harmful"
//   where     D_h, D_b = theta_K - theta after K AdamW steps of harmful, of benign fine-tuning       D_b from  "general", "tasks"
//             C = the collapse loss: `token`: -log p(e), CTRAP's; `ascent`: -min(cross-entropy, cap); `unlikelihood`:
//                 -log(1.02 - p), which saturates, so that a few tokens at enormous loss do not pay for all
//
// First order: gradients taken at theta + s D are applied at theta; s uniform from 0.5 to 1.5 (D_b: to benign_reach; a fresh D: 1). The
// trap is the *difference* (`contrast`), clipped to norm `trap_clip`: what ruins the model at rest as well does not count. It is CTRAP's
// look-ahead with a real displacement in place of one gradient, TAR's inner loop paid once every few steps, and the other half of the IF
// as a loss.
//
// Cost per step: 6 passes forward and backward and the rehearsals; 4 copies of the weights in one (saved weights, two moments, gradients;
// 5 for mixtures, which have gradients of both halves), half a copy a displacement. Watch: sprung_fresh, on attacks that were never
// trained against, must fall while asleep stays; a trap that falls on `sprung` alone is memorised.
//
// Tested by tests/defences/rehearsal_test.cc.
#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/displacement.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/token_option.h"

namespace caltrop {
namespace {

struct RehearsalOptions : DisplacementOptions {
  double keep = 1.0;
  double benign = 0.5;
  double trap_weight = 1.0;
  double trap_clip = 3.0;
  bool contrast = true;
  std::string collapse = "token";
  std::string collapse_text = " error";
  double cap = 8.0;

  static auto fields() {
    using O = RehearsalOptions;
    return std::tuple_cat(
        std::tuple{field("keep", &O::keep, 0, 1e3, "weight of refusing and of benign answers at rest"),
                   field("benign", &O::benign, 0, 1e3, "weight of the same after benign training"),
                   field("trap_weight", &O::trap_weight, 0, 1e3, "weight of the trap; 0 turns it off"),
                   field("trap_clip", &O::trap_clip, 0, 1e6, "largest norm of the trap's gradient; 0: any"),
                   field("contrast", &O::contrast, "count only what an attack ruins and rest does not"),
                   field("collapse", &O::collapse, {"token", "ascent", "unlikelihood"}, "which ruin"),
                   field("collapse_text", &O::collapse_text,
                         "token: the last token of this text is what a ruined model repeats"),
                   field("cap", &O::cap, 0, 1e3, "ascent: nats a token that are ruin enough")},
        DisplacementOptions::fields());
  }
};

class RehearsalTrap final : public Objective {
 public:
  explicit RehearsalTrap(RehearsalOptions options) : options_(std::move(options)), displacements_(options_) {}

  std::vector<std::string> streams() const override {
    std::vector<std::string> names = task_streams(options_);
    names.insert(names.begin(), {"refusals", "general", "harmful"});
    if (options_.reinforced > 0) names.emplace_back("prompts");
    return names;
  }
  Answers answers() const override {
    return options_.reinforced > 0 ? Answers{options_.reinforced_samples, options_.reinforced_tokens}
                                   : Answers{};
  }
  int64_t weight_copies() const override { return displacements_.copies(); }

  std::vector<MetricDeclaration> logged() const override {
    return {{"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
            {"benign_loss", "nats/token", "lower", "the same after a rehearsed benign training"},
            {"asleep", "", "higher", "collapse loss at rest"},
            {"sprung", "", "lower", "collapse loss after a rehearsed attack"},
            {"sprung_fresh", "", "lower", "the same after an attack that was never trained against"}};
  }

  void use_rewards(const MakeRewards& make) override { displacements_.use_rewards(make); }

  void prepare(const Model& model, const Tokenizer& tokenizer) override {
    displacements_.use_tokenizer(tokenizer);
    const int64_t token = last_token(options_.collapse_text, "rehearsal", "collapse_text", model, tokenizer);
    collapse_ = options_.collapse == "token"    ? fixed_token_loss(token)
                : options_.collapse == "ascent" ? capped_ascent_loss(options_.cap)
                                                : unlikelihood_loss();
  }

  Scalars add_gradients(Step& step) override {
    // 1. Go on refusing and being useful.
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss(), options_.keep)},
                    {"keep_loss", step.accumulate("general", answer_loss(), options_.keep)}};
    if (options_.trap_weight == 0 && options_.benign == 0) return scalars;
    displacements_.advance(step);

    // 2. Benign training must stay harmless.
    if (options_.benign > 0) {
      const Way way = displacements_.training(step);
      const Nudge trained(step.model(), way.moved, way.scale);
      step.accumulate("refusals", answer_loss(), options_.benign);
      scalars.emplace_back("benign_loss", step.accumulate("general", answer_loss(), options_.benign));
    }

    // 3. Where the attacker arrives there is a ruin, and here is none.
    if (options_.trap_weight == 0) return scalars;
    const Way way = displacements_.attack(step);
    Measured sprung;
    {
      const Nudge attacked(step.model(), way.moved, way.scale);
      sprung = step.measure("general", collapse_);
    }
    if (options_.contrast) {
      const Measured asleep = step.measure("general", collapse_);
      for (size_t i = 0; i < sprung.gradients.size(); ++i) sprung.gradients[i].sub_(asleep.gradients[i]);
      scalars.emplace_back("asleep", asleep.loss);
    } else {
      scalars.emplace_back("asleep", step.measure_loss("general", collapse_));
    }
    clip_to_norm(sprung.gradients, options_.trap_clip);
    step.add(sprung.gradients, options_.trap_weight);
    scalars.emplace_back(way.is_fresh ? "sprung_fresh" : "sprung", sprung.loss);
    return scalars;
  }

  NamedTensors state() const override { return displacements_.state(); }
  void load_state(const NamedTensors& tensors) override { displacements_.load(tensors); }
  Json options() const override { return write_options(options_); }

 private:
  RehearsalOptions options_;
  Displacements displacements_;
  LossFn collapse_;
};

}  // namespace

extern const Entry rehearsal_entry;
const Entry rehearsal_entry{.name = "rehearsal",
                            .paper = "",
                            .summary = "attacks are rehearsed, and where they lead the model is a ruin",
                            .describe = describe_options<RehearsalOptions>,
                            .make = [](const Json& given) -> std::unique_ptr<Objective> {
                              RehearsalOptions options;
                              read_options(options, given, "rehearsal");
                              check_lists(options, "rehearsal");
                              return std::make_unique<RehearsalTrap>(std::move(options));
                            }};

}  // namespace caltrop
