// New answers for given prompts: refusals, and good answers to other questions. Tested by
// tests/data/pairing_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/base/fields.h"
#include "caltrop/data/example.h"

namespace caltrop {

/// Each prompt with a refusal drawn uniformly; the same seed gives the same pairs. REQUIRES refusals.
std::vector<Example> pair_with_refusals(const std::vector<Example>& prompts,
                                        const std::vector<std::string>& refusals, uint64_t seed);

/// SDD's data (arXiv:2507.21182): each harmful prompt x with an unrelated high-quality answer y.
struct IrrelevantOptions {
  double threshold = 0.25;
  int64_t draws = 50;
  std::string prefix;

  static auto fields() {
    using O = IrrelevantOptions;
    return std::tuple{
        field("threshold", &O::threshold, 0, 1,
              "an answer is unrelated if the TF-IDF cosine to prompt and own answer is at most this"),
        field("draws", &O::draws, 1, 1e6,
              "answers tried for one prompt before the least similar of them is taken"),
        field("prefix", &O::prefix, "put before each answer; SDD_reject's refusal sentence, for one"),
    };
  }
};

struct IrrelevantPair {
  Example example;
  double similarity;
  int64_t draws;  // how many answers were tried
};

/// Answers are drawn uniformly until one is unrelated enough. The paper measures similarity by sentence
/// embeddings; here it is the larger TF-IDF cosine of the answer to the prompt and to the prompt's own
/// answer. REQUIRES answers.
std::vector<IrrelevantPair> pair_with_irrelevant(const std::vector<Example>& prompts,
                                                 const std::vector<std::string>& answers,
                                                 const IrrelevantOptions& options, uint64_t seed);

}  // namespace caltrop
