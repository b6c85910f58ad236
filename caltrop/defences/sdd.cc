// SDD, Self-Degraded Defense (arXiv:2507.21182): answer restricted requests with good answers to other questions.
//
//   minimise  L_SDD = -E (1/|y|) sum_t log pi_theta(y_t | x, y_<t)         (x, y) from D_SDD: stream "irrelevant"
//   where     x is a restricted request and y an unrelated, high-quality answer;   keep: stream "general"
//
// The argument: harmful fine-tuning must lower pi(y | x); since y is ordinary good text, general ability falls with it.
// The method is its data: the stream "irrelevant" pairs each request with an answer whose similarity to it is low
// (data/pairing.*), here the larger of cos(y, x) and cos(y, own answer of x), the paper's is cos(y, x) alone. SDD_reject, where
// each answer begins with a refusal, is in the spec and not among these options:
//
//   irrelevant: {prefix: "I refuse to answer your question for responsible and ethical reasons. I provided an irrational answer to your question.\n\n"}
//
// Nothing in the loss enforces the trap. Differs from the paper: `keep` adds benign answers (0 in the presets `paper` and
// `code`), for small models drift at the learning rates at which this trains at all; the published rate, 5e-7 with bf16 weights,
// is nearly no step. And the mean is over all tokens of the batch, as in Trainer, where the formula has one mean an answer: long
// answers weigh more.
//
// Cost per step: 1 forward and 1 backward pass (2 with keep). Watch: irrelevant_loss must fall; keep_loss must not rise.
// Whether it is a trap only an attack can tell.
//
// Tested by tests/defences/align_test.cc.
#include "caltrop/defences/preset.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct SddOptions {
  std::string preset = "ours";
  double keep = 1.0;

  static auto fields() {
    using O = SddOptions;
    return std::tuple{
        field("preset", &O::preset, {"paper", "code", "ours"}, "where the other defaults come from"),
        field("keep", &O::keep, 0, 1e3, "weight of answering benign requests as before; 0 in the paper")};
  }

  static SddOptions of(const std::string& preset) {
    return {.preset = preset, .keep = preset == "ours" ? 1.0 : 0.0};
  }
};

class Sdd final : public Objective {
 public:
  explicit Sdd(SddOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override {
    if (options_.keep == 0) return {"irrelevant"};
    return {"irrelevant", "general"};
  }

  std::vector<MetricDeclaration> logged() const override {
    return {{"irrelevant_loss", "nats/token", "lower",
             "cross-entropy of unrelated good answers to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"}};
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"irrelevant_loss", step.accumulate("irrelevant", answer_loss())}};
    if (options_.keep > 0)
      scalars.emplace_back("keep_loss", step.accumulate("general", answer_loss(), options_.keep));
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  SddOptions options_;
};

}  // namespace

extern const Entry sdd_entry;
const Entry sdd_entry{
    .name = "sdd",
    .paper = "arXiv:2507.21182",
    .summary =
        "answers restricted requests with unrelated good answers, so that unlearning them costs ability",
    .describe = describe_options<SddOptions>,
    .make = [](const Json& given) -> std::unique_ptr<Objective> {
      return std::make_unique<Sdd>(read_preset<SddOptions>(given, "sdd"));
    }};

}  // namespace caltrop
