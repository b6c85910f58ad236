// The spec of a proof, read and checked as a whole before any work: prove.h shows one.
#pragma once

#include <string>
#include <vector>

#include "caltrop/eval/outcome.h"
#include "caltrop/run/stage.h"

namespace caltrop {

struct NamedStage {
  std::string name;
  StageSpec spec;  // its `model` is set when the grid is run
  std::filesystem::path
      folder;         // a model that was hardened elsewhere, instead of a stage; empty: there is a stage
  std::string after;  // the defence whose model it begins with; "": the undefended one
};

struct AttackSpec {
  std::string name;
  std::string arm;   // "harmful" or "benign"
  std::string twin;  // name of the attack that differs only in its data; "" without one
  StageSpec spec;
  std::string after = {};  // the attack whose model it goes on with; "": the defended one
};

struct ProofSpec {
  std::string title;
  std::filesystem::path model, domain;
  std::vector<int64_t> seeds = {0};
  EvaluateOptions evaluate;       // of models that were given, whatever the attacks look at
  ModelOptions compute;           // the same
  std::vector<NamedStage> align;  // none or one
  std::vector<NamedStage> defences;
  std::vector<AttackSpec> attacks;
  OutcomeThresholds thresholds;
};

/// The keys of a proof, and what stands under them, for --help.
std::string proof_help();

/// Throws UserError: unknown keys and names, a twin that does not exist, is trained otherwise or on harmful rows.
ProofSpec read_proof_spec(const Json& json, const std::string& who);

}  // namespace caltrop
