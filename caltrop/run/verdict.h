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

/// A cell that the proof asks for, whatever has become of it.
struct ProofCell {
  std::string id, model, run;
  const AttackSpec* attack;
  int64_t seed;
  std::string status =
      "done";  // or "failed", "running", "interrupted", "not begun", "left out": of another recipe
  std::string error = {};  // why it is not done, where that can be told

  bool done() const { return status == "done"; }
};

/// The first evaluation of a run: what the model that it began with is like. Throws UserError if there is none.
Evaluated first_evaluation(const std::filesystem::path& run);
/// The last one: what its own model is like, before anybody attacks it.
Evaluated last_evaluation(const std::filesystem::path& run);

/// verdict.json. `models`: those that are there, the undefended one first; `cells`: all of the grid, those of models that are not
/// there too. Throws UserError for run directories that cannot be read.
Json make_verdict(const ProofSpec& spec, const std::filesystem::path& root,
                  const std::vector<ProofModelRun>& models, const std::vector<ProofCell>& cells,
                  const std::string& command);

}  // namespace caltrop
