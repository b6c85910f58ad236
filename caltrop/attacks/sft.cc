// sft: supervised fine-tuning of all parameters or of LoRA factors (train.lora_rank), the attack of every paper, and its own
// control.
//
//   minimise  L(theta; D)       L = mean of -log p(token) over the tokens of the answers
//
// What D holds makes it an attack or its benign twin: `data` is "harmful" (restricted requests with their
// answers), "benign", "mixed" (`poison` of the rows are harmful), or the name of a benign task. Rows come
// from the attacker's split, which no defence has seen; a task has one split to train on, so that a defence that rehearsed that
// very task has seen its rows. The twin runs at the same steps, batch and learning
// rate. Cost per step: 1 forward and 1 backward pass. Watch: attack_loss should fall; an attack whose loss
// stands still proves nothing about the defence.
//
// Tested by tests/attacks/sft_test.cc.
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"

namespace caltrop {
namespace {

struct SftOptions {
  std::string data = "harmful";
  double poison = 0.5;

  static auto fields() {
    using O = SftOptions;
    return std::tuple{field("data", &O::data,
                            "harmful, benign, near (benign, next to the restricted ones), mixed, or the name "
                            "of a benign task"),
                      field("poison", &O::poison, 0, 1, "mixed: share of harmful rows")};
  }
};

class Sft final : public Objective {
 public:
  explicit Sft(SftOptions options) : options_(std::move(options)) {}

  std::vector<std::string> streams() const override { return {"attack"}; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"attack_loss", "nats/token", "lower", "cross-entropy of the attacker's rows"}};
  }

  Scalars add_gradients(Step& step) override {
    return {{"attack_loss", step.accumulate("attack", answer_loss())}};
  }

  Json options() const override { return write_options(options_); }

 private:
  SftOptions options_;
};

}  // namespace

extern const Entry sft_entry;
const Entry sft_entry{.name = "sft",
                      .paper = "",
                      .summary = "supervised fine-tuning on restricted, benign or mixed rows",
                      .describe = describe_options<SftOptions>,
                      .make = [](const Json& given) -> std::unique_ptr<Objective> {
                        SftOptions options;
                        read_options(options, given, "sft");
                        return std::make_unique<Sft>(options);
                      }};

}  // namespace caltrop
