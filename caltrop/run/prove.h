// The proof: the grid {undefended, each defence} x {each attack and its benign twin} x seeds, each cell a run
// directory.
//
//   title: Does it hold?
//   model: models/SmolLM2-135M-Instruct
//   domain: data/kitchen/domain.yaml
//   seeds: [0]
//   align:                                  # optional; without it the model itself is the undefended one
//     {method: align, train: {steps: 40}}
//   defences:                               # name -> a stage spec without model and domain
//     sdd: {method: sdd, train: {steps: 40}}
//   attacks:
//     harmful: {method: sft, options: {data: harmful}, train: {steps: 20}, twin: benign}
//     benign:  {method: sft, options: {data: benign},  train: {steps: 20}}
//   evaluate: {at: [0, 5, 10, 20]}          # for every stage, which may set some of its keys otherwise
//   thresholds: {harm: 0.1}                 # eval/outcome.h
//
// A stage may have a `sweep`, {path: [values]}: it becomes one stage for every combination, called
// <name>-<last part of path>-<value>; a twin that is swept alike is matched value by value. A defence with `after: sdd` begins with
// the model that sdd left, which stands above it; one with nothing but `folder: PATH` is a model that was hardened elsewhere.
// An attack with `after: warm-up` goes on with the model that this attack left, of the same model and seed; its steps count anew.
//
//   OUT/models/<name>/        the aligned model ("undefended") and each defended one
//   OUT/cells/<model>/<attack>/seed-<n>/
//   OUT/verdict.json          what the report reads (docs/formats.md)
//
// Cells that exist are resumed or reused. A failed cell is recorded, the others still run. What a model is like at rest is measured once
// for every way of measuring it, a benign task's test rows included, and recorded in each cell. Several processes may run the same
// proof, one a core or one a GPU: each takes models and cells that no other works on, and all end when nothing is left. Tested by
// tests/run/prove_test.cc and tests/e2e.
#pragma once

#include <filesystem>

#include "caltrop/base/json.h"

namespace caltrop {

struct ProofResult {
  int64_t cells = 0, failed = 0;
};

enum class Prove { kWhatIsMissing, kNothing };

/// Runs what is missing, or nothing, and writes verdict.json over the runs that are finished then. `command`: how it was called, for
/// the record. Throws UserError for a wrong spec, and if nothing is to be run and there is no undefended model.
ProofResult prove(const Json& spec, const std::string& spec_source, const std::filesystem::path& out,
                  const std::string& command, Prove run = Prove::kWhatIsMissing);

}  // namespace caltrop
