// TAR, tamper-resistant safeguards (arXiv:2408.00761): train against a rehearsed attacker, at every point of his way.
//
//   minimise  resist * sum_k w_k * L_TR(theta_k; D_harm)  +  L(theta; D_general)  +  anchor * |h - h_0|  +  refuse * L(theta; D_align)
//   where     theta_k = after k steps of AdamW on D_harm from theta, at a rate drawn from `rates`     streams: D_harm "harmful"
//             L_TR    = -entropy of the predictions on restricted answers drawn apart from the        D_general "general"
//                       attacker's, so that he ends with a flat distribution                          D_align "refusals"
//             w_k     = exp(growth (k - K)), at every `every`-th step;  h_0 = the start model's hidden states
//
// First order, as in the code: gradients taken at theta_k are applied at theta. Preset `code`: K 64, growth 1/16, resist 4, the
// un-squared distance of the code (the paper squares it). Differs: one kind of adversary where the code mixes three corpora,
// entropies and the anchor's distances over answers alone where it counts prompt and padding too, plain AdamW outside where it
// takes schedule-free AdamW; no warm-up of the attacker's rate, no constant factor K/20 on the sum, no stage of random mapping
// before. Of a few hundred restricted rows the attacker will have seen some that he is judged by: the code draws both from one
// corpus as well. `refuse` (0 in `code`); `ours` rehearses 16 steps, what two cores can pay for. Cost per step: K + K/every + 3
// passes forward and backward; 3 copies of the weights and the rehearsal's AdamW, 3 more. Watch: tamper_entropy (at the end of
// the attacker's way) must rise while keep_loss and refuse_loss stand still. Ports of TAR have shown little effect: look at the
// patience curve.
//
// Tested by tests/defences/tar_test.cc.
#include <cmath>

#include "caltrop/defences/preset.h"
#include "caltrop/loss/entropy.h"
#include "caltrop/loss/language.h"
#include "caltrop/loss/reference.h"
#include "caltrop/train/objective.h"
#include "caltrop/train/rehearsal.h"

namespace caltrop {
namespace {

struct TarOptions {
  std::string preset = "ours";
  int64_t inner_steps = 16;
  int64_t every = 4;
  std::vector<double> rates = {1e-5, 3e-5, 1e-4};
  double growth = 0.0625;
  double resist = 4.0;
  double anchor = 1.0;
  double refuse = 1.0;

  static auto fields() {
    using O = TarOptions;
    return std::tuple{
        field("preset", &O::preset, {"code", "ours"}, "where the other defaults come from"),
        field("inner_steps", &O::inner_steps, 1, 1e6, "K: steps of the rehearsed attacker"),
        field("every", &O::every, 1, 1e6, "attacker's steps between two points that are trained against"),
        field("rates", &O::rates, 0, 1, "the attacker's learning rates; one is drawn each step"),
        field("growth", &O::growth, 0, 10, "how much more later points count"),
        field("resist", &O::resist, 0, 1e3, "weight of tamper resistance; 0 turns it off"),
        field("anchor", &O::anchor, 0, 1e3,
              "weight of keeping the start model's hidden states on benign answers"),
        field("refuse", &O::refuse, 0, 1e3, "weight of refusing")};
  }

  static TarOptions of(const std::string& preset) {
    TarOptions options;
    options.preset = preset;
    if (preset == "code") options.inner_steps = 64, options.rates = {2e-6, 2e-5, 4e-5}, options.refuse = 0;
    return options;
  }
};

class Tar final : public Objective {
 public:
  explicit Tar(TarOptions options) : options_(std::move(options)) {
    if (options_.rates.empty())
      throw UserError("tar: option 'rates' is empty, want the attacker's learning rates");
  }

  std::vector<std::string> streams() const override {
    if (options_.refuse == 0) return {"harmful", "general"};
    return {"harmful", "general", "refusals"};
  }
  int64_t weight_copies() const override { return 6; }

  std::vector<MetricDeclaration> logged() const override {
    return {{"keep_loss", "nats/token", "lower", "cross-entropy of answers to benign requests"},
            {"anchor_loss", "", "lower", "distance of the hidden states from the start model's"},
            {"refuse_loss", "nats/token", "lower", "cross-entropy of refusals to restricted requests"},
            {"attack_loss", "nats/token", "", "the rehearsed attacker's loss at his last step"},
            {"tamper_entropy", "nats", "higher",
             "entropy on the step's restricted answers at the attacker's last point"}};
  }

  void prepare(const Model& model, const Tokenizer&) override { reference_ = model.frozen_copy(); }

  Scalars add_gradients(Step& step) override {
    Scalars scalars{{"keep_loss", step.accumulate("general", answer_loss())}};
    if (options_.anchor > 0)
      scalars.emplace_back("anchor_loss",
                           step.accumulate("general", state_distance(step.states_of("general", *reference_)),
                                           options_.anchor));
    if (options_.refuse > 0)
      scalars.emplace_back("refuse_loss", step.accumulate("refusals", answer_loss(), options_.refuse));
    if (options_.resist == 0) return scalars;

    const double rate = options_.rates[step.random("attacker's rate").below(options_.rates.size())];
    Tensor attack_loss, entropy;
    {
      Rehearsal attacker(step.model(), OptimizerOptions());
      for (int64_t k = 1; k <= options_.inner_steps; ++k) {
        Step rows = step.fresh(fmt::format("attack step {}", k), {"harmful"});
        attack_loss = attacker.train(rows, "harmful", answer_loss(), rate);
        if (k % options_.every != 0 && k != options_.inner_steps) continue;
        const double weight = std::exp(options_.growth * static_cast<double>(k - options_.inner_steps));
        entropy = step.accumulate("harmful", entropy_loss(),
                                  -options_.resist * weight);  // on this step's rows, not on his
      }
    }  // the weights are back, bit for bit
    scalars.emplace_back("attack_loss", attack_loss);
    scalars.emplace_back("tamper_entropy", entropy);
    return scalars;
  }

  Json options() const override { return write_options(options_); }

 private:
  TarOptions options_;
  std::shared_ptr<const Model> reference_;
};

}  // namespace

extern const Entry tar_entry;
const Entry tar_entry{.name = "tar",
                      .paper = "arXiv:2408.00761",
                      .summary = "trained against a rehearsed attacker at every point of his way",
                      .describe = describe_options<TarOptions>,
                      .make = [](const Json& given) -> std::unique_ptr<Objective> {
                        return std::make_unique<Tar>(read_preset<TarOptions>(given, "tar"));
                      }};

}  // namespace caltrop
