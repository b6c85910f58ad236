// New answers for given prompts: refusals, and good answers to other questions. Tested by
// tests/data/pairing_test.cc.
#pragma once

#include <functional>
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
  std::string embeddings;

  static auto fields() {
    using O = IrrelevantOptions;
    return std::tuple{
        field("threshold", &O::threshold, 0, 1,
              "an answer is unrelated if its cosine to prompt and own answer is at most this"),
        field("draws", &O::draws, 1, 1e6,
              "answers tried for one prompt before the least similar of them is taken"),
        field("prefix", &O::prefix, "put before each answer; SDD_reject's refusal sentence, for one"),
        field("embeddings", &O::embeddings,
              "model folder whose mean hidden states are compared; empty: TF-IDF vectors of words are"),
    };
  }
};

struct IrrelevantPair {
  Example example;
  double similarity;
  int64_t draws;  // how many answers were tried
};

/// How alike an answer and a prompt with its own answer are: the larger of the two cosines. Called with indices into the lists
/// that it was made from.
using AnswerSimilarity = std::function<double(size_t answer, size_t prompt)>;

/// By TF-IDF vectors over words, with the frequencies of these texts: no model is needed.
AnswerSimilarity tfidf_similarity(const std::vector<Example>& prompts,
                                  const std::vector<std::string>& answers);

/// Answers are drawn uniformly until one is unrelated enough. The paper measures similarity by sentence embeddings;
/// run/embeddings.h has those of a language model. REQUIRES answers.
std::vector<IrrelevantPair> pair_with_irrelevant(const std::vector<Example>& prompts,
                                                 const std::vector<std::string>& answers,
                                                 const AnswerSimilarity& similarity,
                                                 const IrrelevantOptions& options, uint64_t seed);

}  // namespace caltrop
