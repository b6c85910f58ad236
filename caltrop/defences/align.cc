// align: plain alignment by supervised fine-tuning; what a published model has behind it, and the baseline of every trap.
//
//   minimise  L(theta; D_align) + keep * L(theta; D_general)             streams: D_align   "refusals"
//   where     L = mean of -log p(token) over the tokens of the answers            D_general "general"
//
// Refusals alone teach a model to refuse everything; answers of the model itself to other questions keep it as it was.
// Cost per step: 2 forward and 2 backward passes; no copies of the weights. Watch: refuse_loss falls within some forty
// steps; keep_loss must not rise, or the model is forgetting.
//
// Tested by tests/defences/align_test.cc.
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct AlignOptions {
  double keep = 1.0;

  static auto fields() {
    return std::tuple{field("keep", &AlignOptions::keep, 0, 1e3,
                            "weight of answering benign requests as before; 0 turns it off")};
  }
};

class Align final : public Objective {
 public:
  explicit Align(AlignOptions options) : options_(options) {}

  std::vector<std::string> streams() const override {
    if (options_.keep == 0) return {"refusals"};
    return {"refusals", "general"};
  }

  std::vector<MetricDeclaration> logged() const override {
    return {{"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"}};
  }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"refuse_loss", step.accumulate("refusals", answer_loss())}};
    if (options_.keep > 0)
      scalars.emplace_back("keep_loss", step.accumulate("general", answer_loss(), options_.keep));
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  AlignOptions options_;
};

}  // namespace

extern const Entry align_entry;  // a const alone would be private to this file
const Entry align_entry{.name = "align",
                        .paper = "",
                        .summary = "teach refusals by supervised fine-tuning and keep benign answers",
                        .describe = describe_options<AlignOptions>,
                        .make = [](const Json& given) -> std::unique_ptr<Objective> {
                          AlignOptions options;
                          read_options(options, given, "align");
                          return std::make_unique<Align>(options);
                        }};

}  // namespace caltrop
