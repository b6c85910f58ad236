// From the run directories of a proof to verdict.json (docs/formats.md): what became of each model under each attack.
// Reads files only. Tested by tests/run/verdict_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/run/proof_spec.h"

namespace caltrop {

/// A model of the grid and where its run directory lies, relative to the proof.
struct ProofModelRun {
  std::string name, run;
  const StageSpec* spec;   // null: the model as it was given
  std::string after = {};  // of a second stage: the defence whose model it began with
};

struct ProofCell {
  std::string id, model, run;
  const AttackSpec* attack;
  int64_t seed;
  std::string error;  // "" if it is done
};

/// The last evaluation of a run: what its model is like at rest.
Evaluated last_evaluation(const std::filesystem::path& run);

/// verdict.json. Throws UserError for run directories that cannot be read.
Json make_verdict(const ProofSpec& spec, const std::filesystem::path& root,
                  const std::vector<ProofModelRun>& models, const std::vector<ProofCell>& cells,
                  const std::string& command);

}  // namespace caltrop
