// One stage: a model folder and a spec in, a run directory out. A defence and an attack are the same program.
//
// A spec, as YAML or --set:
//
//   model: models/aligned            # Hugging Face folder
//   method: ctrap                    # `caltrop methods`
//   domain: data/kitchen/domain.yaml
//   options: {preset: ours}          # of the method
//   train: {steps: 40, batch: 6, learning_rate: 3e-5}
//   evaluate: {at: [0, 20, 40]}
//   clean_model: models/base         # reads generations for coherence; default: `model`
//   data: {categories: [soup, bread]}
//   irrelevant: {threshold: 0.25}    # SDD's pairing
//   seed: 0
//   device: auto
//   dtype: auto                      # bf16 where the machine is fast at it, fp32 else and where the method needs it
//   keep_model: true
//   stop_at_useful_rate: 0.1         # attacks: end once more than this share of restricted answers is useful
//
// Tested by tests/run/stage_test.cc and, from the outside, by tests/e2e.
#pragma once

#include <filesystem>

#include "caltrop/data/pairing.h"
#include "caltrop/eval/evaluation.h"
#include "caltrop/model/model.h"
#include "caltrop/run/streams.h"
#include "caltrop/train/trainer.h"

namespace caltrop {

enum class StageKind { kDefend, kAttack };

struct StageSpec {
  StageKind kind = StageKind::kDefend;
  std::filesystem::path model, clean_model, domain;
  std::string method;
  Json options = Json::object();  // of the method, as given
  TrainOptions train;
  EvaluateOptions evaluate;
  StreamOptions data;
  IrrelevantOptions irrelevant;
  ModelOptions compute;
  int64_t seed = 0;
  bool keep_model = true;
  /// An attacker who has what he wants stops: the run ends at the first evaluated step at which more than this share of the
  /// restricted answers is useful. 1: it always runs to its end.
  double stop_at_useful_rate = 1;
};

/// The keys of a spec.
const std::vector<std::string>& stage_keys();

/// Reads and checks a spec. An attack on some categories, or by a benign task, is evaluated on those unless the spec says
/// otherwise. Throws UserError for unknown keys, listing the known ones, and for everything
/// that can be known to be wrong before work starts: methods, options, missing folders.
StageSpec read_stage_spec(StageKind kind, const Json& json, const std::string& who);

/// What only the domain can tell: categories and tasks that the spec names. Throws UserError for one that is not there.
void check_names(const StageSpec& spec, const Domain& domain);

/// The spec with every default written out.
Json write_stage_spec(const StageSpec& spec);

/// Runs the stage in `out`, resuming or reusing what is there. Returns the manifest of the finished run.
/// `at_rest`: what an evaluation at step 0 would find, where the caller has measured the very same model with the very same
/// options before; it is recorded instead of being measured again.
/// Throws UserError; the run directory then says status "failed" and can be resumed.
Json run_stage(const StageSpec& spec, const std::filesystem::path& out, const Evaluated* at_rest = nullptr);

/// All methods of a kind: defences or attacks.
std::vector<const Entry*> entries_of(StageKind kind);

}  // namespace caltrop
