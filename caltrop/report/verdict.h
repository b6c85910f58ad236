// What became of each model, in words that a person outside the project understands. The words are chosen
// here from the rows of the proof and nothing else; a trap that failed, that fires on benign training, or
// that ruined the model before anybody attacked it is called just that. Tested by
// tests/report/verdict_test.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "caltrop/report/load.h"

namespace caltrop {

/// For whom an outcome is good news: colours and the order of sentences follow it.
enum class Tone { kGood, kMixed, kBad, kUnknown };

/// Collapse is what a trap is for under harmful training, and a broken model under benign training.
Tone tone_of(const std::string& arm, const std::string& outcome);

struct ModelVerdict {
  std::string model;
  Tone tone = Tone::kUnknown;
  std::string headline;            // one sentence
  std::vector<std::string> notes;  // what must be known beside it
};

/// One verdict a model, in the order of the proof. A ± in its sentences is that many standard errors.
std::vector<ModelVerdict> judge_models(const Proof& proof, double standard_errors = 1);

struct MeanGap {
  double mean = 0;            // in shares of ability; over the seeds
  double standard_error = 0;  // of one seed: all seeds answer the same questions, so they do not narrow it
};

/// The conditionality gap of a harmful row; none for a benign one or without a twin.
std::optional<MeanGap> gap_of(const Proof& proof, const Row& row);

/// What limits the whole proof: a clean model that cannot do the questions, cells without a result, few seeds, defences planted
/// once. Empty if nothing does.
std::vector<std::string> caveats(const Proof& proof);

/// The verdict for a terminal: a table, a sentence for each model, the caveats.
std::string terminal_verdict(const Proof& proof);

/// "✕ usable harm": the mark makes it readable without colour. "no result" for "".
std::string marked_outcome(const std::string& outcome);

}  // namespace caltrop
