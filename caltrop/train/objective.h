// The one seam of the trainer: an objective adds gradients.
//
// A trainer whose only opening is "return a scalar loss" makes every unusual method copy its loop. Here a
// method is asked, once a step, to add gradients to `.grad` of the model's parameters, to leave the weights
// as it found them, and to return numbers to log. Defences and attacks are both objectives; the loop
// (trainer.cc) cannot tell them apart.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/base/fields.h"
#include "caltrop/model/model.h"
#include "caltrop/record/metrics.h"
#include "caltrop/text/tokenizer.h"
#include "caltrop/train/reward.h"
#include "caltrop/train/step.h"

namespace caltrop {

struct TrainOptions;

class Objective {
 public:
  virtual ~Objective() = default;

  /// The streams that add_gradients measures, by the names of run/streams.cc ("harmful", "refusals",
  /// "general", …).
  virtual std::vector<std::string> streams() const = 0;

  /// The numbers that add_gradients returns, in any order.
  virtual std::vector<MetricDeclaration> logged() const = 0;

  /// Copies of all weights that the method holds at its peak, gradients it keeps included: for the memory
  /// forecast.
  virtual int64_t weight_copies() const { return 0; }

  /// Whether it has a layerwise_loss(), which keeps more probabilities than a loss of answers: for the memory forecast.
  virtual bool reads_every_layer() const { return false; }

  /// Of a method that answers prompts itself: how many responses to each, and tokens of each at most. For the memory forecast,
  /// and for the longest prompt.
  struct Answers {
    int64_t samples = 0, tokens = 0;
  };
  virtual Answers answers() const { return {}; }

  /// Files and model folders that its options name, whose bytes belong to the identity of a run.
  virtual std::vector<std::string> input_files() const { return {}; }

  /// Throws UserError, beginning with `who`, for a way of training that the method cannot follow.
  virtual void check_training(const TrainOptions& /*train*/, const std::string& /*who*/) const {}

  /// Whether it takes differences of gradients, which drown in the rounding of a computation in bf16.
  virtual bool needs_fp32() const { return false; }

  /// How the batches of its streams are packed.
  virtual Beginnings beginnings() const { return Beginnings::kShared; }

  /// Called before prepare(): `make` gives what can be paid for, by name, and costs a moment.
  virtual void use_rewards(const MakeRewards& /*make*/) {}

  /// Called once, before the first step: freeze a reference model, look up a token.
  virtual void prepare(const Model& /*model*/, const Tokenizer& /*tokenizer*/) {}

  /// Adds gradients to the parameters' `.grad` and returns scalars to log (tensors: nobody waits for the
  /// device here). The weights are bit for bit as before, also when it throws.
  virtual Scalars add_gradients(Step& step) = 0;

  /// Called once, after the last step: what a method does to the weights when training is over. They may change here. The
  /// step holds no rows; fresh() draws them.
  virtual void finish(Step& /*step*/) {}

  /// What the method remembers between steps beside the weights, for checkpoints; nothing, for most.
  virtual NamedTensors state() const { return {}; }
  /// Takes what state() gave, after prepare(); the tensors are on the model's device.
  virtual void load_state(const NamedTensors& /*tensors*/) {}

  /// Files of its own to leave beside the model, name -> contents, after finish(): a sensor, for one.
  virtual std::map<std::string, std::string> artifacts() const { return {}; }

  /// The options as resolved, for the manifest.
  virtual Json options() const = 0;
};

/// A method: one file that defines `<name>_entry`, listed by the build. From it come the name on the command
/// line, --help, the checking of options, the manifest and the row in the documentation.
struct Entry {
  std::string name;
  std::string paper;    // "arXiv:2505.16559", or "" where there is none
  std::string summary;  // one line
  std::function<std::vector<OptionRow>()> describe;
  /// Throws UserError for unknown or impossible options.
  std::function<std::unique_ptr<Objective>(const Json& options)> make;
};

/// The entry called `name`. Throws UserError, "<who>: no <kind> …", listing the known ones.
const Entry& find_entry(const std::vector<const Entry*>& entries, const std::string& kind,
                        const std::string& name, const std::string& who = "caltrop");

}  // namespace caltrop
