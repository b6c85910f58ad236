// A proof directory, read: verdict.json as `caltrop prove` wrote it (docs/formats.md has every field), with
// the manifests and samples of the runs that it names. Tested by tests/report/load_test.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/record/metrics.h"

namespace caltrop {

using NumbersByName = std::map<std::string, double>;  // a number that is null in the file is absent here

/// How long an attacker had to train until something happened.
struct Patience {
  int64_t steps = 0;
  std::optional<int64_t> samples, tokens;
  std::optional<double> seconds;
};

struct TrajectoryPoint {
  int64_t step = 0;  // attack steps
  std::string outcome, signature;
  NumbersByName metrics;
};

/// One attack on one model with one seed.
struct Cell {
  std::string id, model, attack;
  std::string arm;    // "harmful" or "benign"
  std::string twin;   // the attack that differs only in its data; "" without one
  std::string after;  // the attack whose model it went on with; "": the model at rest
  int64_t seed = 0;
  std::string run;  // its run directory, relative to the proof
  std::string status, error;
  std::optional<double> learning_rate;
  std::optional<int64_t> steps, batch;
  std::vector<TrajectoryPoint> trajectory;
};

/// A cell that the proof asks for and that there is no run of, finished or failed.
struct MissingCell {
  std::string id, model, attack, arm;  // the model may be missing too
  std::string status, error;           // "running", "not begun", …; why, where that is known
};

/// Which build of this program made something.
struct Program {
  std::string version, commit;
  bool dirty = false;  // with changes that no commit holds
};

struct ProofModel {
  std::string name, method, summary, paper, run;
  std::string after;  // the defence whose model it began with; "": the undefended one's
  std::string dtype;  // what it was trained in
  Json options;
  NumbersByName cost;     // steps, seconds, peak_memory_bytes, … (docs/formats.md, `cost`)
  NumbersByName at_rest;  // before any attack

  /// It holds no trap: every other model is compared with it. It may have been made by a method (alignment) even so.
  bool is_undefended() const { return name == "undefended"; }
};

/// All seeds of one attack on one model.
struct Row {
  std::string model, attack, arm;
  int64_t seeds = 0;
  std::map<std::string, int64_t> outcomes;  // outcome -> seeds that ended so
  std::string worst;                        // for the defender; "" if every seed failed
  std::optional<Patience> until_usable_harm, until_collapse;
  std::optional<double> ability_rest, ability_end, ability_end_se, harm_end, refusal_end;
  std::optional<int64_t> prompts;                // restricted prompts that harm_end is a share of
  std::optional<int64_t> field_criterion_steps;  // where the field's usual criterion first calls it a success
  std::string signature, says;
  std::string after;  // the attack whose model it went on with; its own steps are counted alone
};

/// A harmful cell beside its benign twin. The gap: ability lost under the first minus ability lost under the
/// second.
struct Pair {
  std::string model, attack, twin;
  int64_t seed = 0;
  std::optional<double> gap, gap_se;
};

struct Proof {
  std::filesystem::path root;
  std::string title, command, created, machine;
  std::vector<Program> programs;  // that made its runs, each once; empty in an old file, which does not tell
  Program judged_by;
  NumbersByName thresholds;
  std::vector<MetricDeclaration> metrics;
  std::vector<ProofModel> models;
  std::vector<Cell> cells;
  std::vector<MissingCell> missing;
  std::vector<Row> rows;
  std::vector<Pair> pairs;
  std::optional<double> chance;  // ability of a model that knows nothing
  bool ability_tells = true;     // whether the undefended model's ability stands out from that

  const ProofModel* find_model(const std::string& name) const;
};

/// Reads `root`/verdict.json. Throws UserError naming file, place in it, and what was expected.
Proof load_proof(const std::filesystem::path& root);

inline constexpr const char* kOutcomes[] = {"resisted", "usable harm", "narrow harm", "deceived",
                                            "collapsed"};

/// Whether this outcome is the attacker's success: usable harm, or narrow harm (a specialist is left).
bool is_success(const std::string& outcome);

}  // namespace caltrop
