// CTRAP, Collapse Trap (arXiv:2505.16559): a trap that harmful fine-tuning springs.
//
// Keep the model refusing and useful and, at the same time, place its weights so that one more step of harmful training
// would leave it saying a single token over and over:
//
//   minimise  L(theta; D_align + D_helpful) + lambda * l_collapse(theta - alpha * g; D_general)
//   where     g          = gradient of L(theta; D_harm)                    streams: D_align   "refusals"
//             l_collapse = mean of -log p(e | x, y_<t) over answers                 D_helpful "general"
//             lambda = trap_weight, alpha = look_ahead                              D_harm    "harmful"
//             e = the last token of collapse_text, or collapse_token
//
// The paper steps along g; the official code along g / (|g| + 1e-7), without which the look-ahead shrinks as training
// converges (`normalise`, preset `code`). First order as in both: g is a constant when l_collapse is differentiated;
// `second_order` adds what that leaves out. The code's D_general is refusals and helpful answers in one batch, end tokens
// included (`collapse_data: retain`, `joint_mean`); the paper and `ours` take helpful answers alone, so that the trap does not
// teach the aligned model to say e to restricted prompts. `ours` takes a longer step: alpha is an L2 length over all parameters,
// and an AdamW step at 3e-5 moves SmolLM2 by some 0.35, where the published LoRA setting had 25 M parameters. Under LoRA too the
// imagined step is one of all weights, and |g| theirs; the code's is one of the factors.
//
// Cost per step: 5 forward and 4 backward passes, 3 copies of the weights (`collapse_data: retain`: 7 and 5, 4 copies);
// `second_order` adds a Hessian product and its check (train/hessian.h), and 1 copy to 3. Watch two numbers: trap_sprung must fall
// while trap_asleep stays high. If both fall, the model has already collapsed, and every attack on it will look defeated. With
// second_order, fd_moved, fd_agreement and fd_exact must be near 1, as for SEAM.
//
// Tested by tests/defences/ctrap_test.cc and official_test.cc.
#include <algorithm>

#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/hessian.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/token_option.h"

namespace caltrop {
namespace {

struct CtrapOptions : HessianOptions {
  std::string preset = "ours";
  double trap_weight = 0.1;
  double look_ahead = 0.1;
  bool normalise = true;
  std::string collapse_data = "general";
  bool joint_mean = false;
  bool second_order = false;
  std::string collapse_text = " error";
  int64_t collapse_token = -1;

  static auto fields() {
    using O = CtrapOptions;
    return std::tuple_cat(
        std::tuple{
            field("preset", &O::preset, {"paper", "code", "ours"}, "where the other defaults come from"),
            field("trap_weight", &O::trap_weight, 0, 1e3, "lambda: weight of the trap; 0 turns it off"),
            field("look_ahead", &O::look_ahead, 0, 1e3, "alpha: length of the imagined attacker's step"),
            field("normalise", &O::normalise, "divide the imagined step by the norm of the gradient"),
            field("collapse_data", &O::collapse_data, {"retain", "general"},
                  "what to collapse on: refusals and general answers, or general alone"),
            field("joint_mean", &O::joint_mean,
                  "one mean over the tokens of refusals and general answers, as in the code; otherwise one "
                  "mean each"),
            field("collapse_text", &O::collapse_text,
                  "e: the last token of this text is what a collapsed model repeats"),
            field("collapse_token", &O::collapse_token, -1, 1e7, "e by its id instead; -1: by collapse_text"),
            field("second_order", &O::second_order,
                  "let the imagined step move with the weights; see `hessian`"),
        },
        HessianOptions::fields());
  }

  static CtrapOptions of(const std::string& preset) {
    CtrapOptions options;
    options.preset = preset;
    options.normalise = preset != "paper";
    options.joint_mean = preset == "code";
    options.collapse_data = preset == "code" ? "retain" : "general";
    if (preset == "ours") options.look_ahead = 0.5;
    return options;
  }
};

class Ctrap final : public Objective {
 public:
  explicit Ctrap(CtrapOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override { return {"refusals", "general", "harmful"}; }
  int64_t weight_copies() const override {
    const int64_t first_order = options_.collapse_data == "retain" ? 4 : 3;
    return options_.second_order ? std::max(first_order, 2 + options_.copies()) : first_order;
  }
  bool needs_fp32() const override {
    return options_.trap_weight > 0 && options_.second_order && options_.takes_differences();
  }

  std::vector<MetricDeclaration> logged() const override {
    std::vector<MetricDeclaration> numbers{
        {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
        {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
        {"attack_loss", "nats/token", "",
         "cross-entropy of restricted answers: what the imagined attacker would lower"},
        {"trap_asleep", "nats/token", "higher",
         "collapse loss at the model's own weights; low means that it has collapsed already"},
        {"trap_sprung", "nats/token", "lower",
         "collapse loss at the imagined attacker's weights; low means that the trap works there"}};
    if (options_.second_order) {
      for (MetricDeclaration& check : difference_checks()) numbers.push_back(std::move(check));
    }
    return numbers;
  }

  void prepare(const Model& model, const Tokenizer& tokenizer) override {
    collapse_ =
        fixed_token_loss(options_.collapse_token < 0
                             ? last_token(options_.collapse_text, "ctrap", "collapse_text", model, tokenizer)
                             : token_of_id(options_.collapse_token, "ctrap", "collapse_token", model));
  }

  Scalars add_gradients(Step& step) override {
    double of_refusals = 1, of_general = 1;
    if (options_.joint_mean) {
      const auto refusals = static_cast<double>(step.label_count("refusals"));
      of_refusals = refusals / (refusals + static_cast<double>(step.label_count("general")));
      of_general = 1 - of_refusals;
    }
    // 1. Go on refusing and being useful.
    const Tensor refuse = step.accumulate("refusals", answer_loss(), of_refusals);
    const Tensor keep = step.accumulate("general", answer_loss(), of_general);
    if (options_.trap_weight == 0) return {{"refuse_loss", refuse}, {"keep_loss", keep}};

    // 2. Which way would an attacker go?
    const Measured attack = step.measure("harmful", answer_loss());
    double length = options_.look_ahead;
    if (options_.normalise) length /= global_norm(attack.gradients).item<double>() + 1e-7;

    // 3. Stand there, and ask for collapse.
    const bool on_refusals = options_.collapse_data == "retain";
    Tensor asleep = step.measure_loss("general", collapse_);
    if (on_refusals) asleep = of_general * asleep + of_refusals * step.measure_loss("refusals", collapse_);
    Measured sprung;
    {
      const Nudge attacked(step.model(), attack.gradients, -length);
      sprung = step.measure("general", collapse_);
      if (on_refusals) {
        const Measured refusing = step.measure("refusals", collapse_);
        sprung.loss = of_general * sprung.loss + of_refusals * refusing.loss;
        for (size_t i = 0; i < sprung.gradients.size(); ++i)
          sprung.gradients[i].mul_(of_general).add_(refusing.gradients[i], of_refusals);
      }
    }  // the weights are back, bit for bit
    step.add(sprung.gradients, options_.trap_weight);
    Scalars scalars{{"refuse_loss", refuse},
                    {"keep_loss", keep},
                    {"attack_loss", attack.loss},
                    {"trap_asleep", asleep},
                    {"trap_sprung", sprung.loss}};
    if (options_.second_order) add_second_order(step, attack, std::move(sprung.gradients), length, scalars);
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  /// What first order leaves out: the imagined step moves with theta. With c the gradient of l_collapse there and u = g/|g|,
  /// it is -length * H (c - u <u, c>); without normalising, -length * H c.
  void add_second_order(Step& step, const Measured& attack, Gradients c, double length,
                        Scalars& scalars) const {
    if (options_.normalise) {
      const double square = inner_product(attack.gradients, attack.gradients).item<double>();
      const double along = inner_product(attack.gradients, c).item<double>() / square;
      for (size_t i = 0; i < c.size(); ++i) c[i].sub_(attack.gradients[i], along);
    }
    const double size = global_norm(c).item<double>();
    for (const Tensor& g : c) g.div_(size);
    HessianProduct product(step, "harmful", answer_loss(), attack, std::move(c), options_);
    product.check_if_due("ctrap", scalars);
    step.add(product(), -options_.trap_weight * length * size);
  }

  CtrapOptions options_;
  LossFn collapse_;
};

}  // namespace

extern const Entry ctrap_entry;
const Entry ctrap_entry{
    .name = "ctrap",
    .paper = "arXiv:2505.16559",
    .summary = "one look-ahead along the harmful gradient must lead to a model that repeats one token",
    .describe = describe_options<CtrapOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      CtrapOptions options = read_preset<CtrapOptions>(given, "ctrap");
      options.check_used(given, CtrapOptions::of(options.preset),
                         options.second_order ? "" : "without second_order", "ctrap");
      if (options.collapse_token >= 0 && options.collapse_text != CtrapOptions().collapse_text)
        throw UserError(
            "ctrap: options 'collapse_text' ('{}') and 'collapse_token' ({}) both name a token, want one",
            options.collapse_text, options.collapse_token);
      return std::make_unique<Ctrap>(std::move(options));
    }};

}  // namespace caltrop
