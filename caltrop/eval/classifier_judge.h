// A judge that learned from texts of both kinds which words and pairs of words are restricted content.
//
// Logistic regression on the words and adjacent pairs of words of a response, hashed into 2^15 numbers,
// present or not, scaled to unit length; the two kinds weigh the same however many texts they have. Beside
// the texts themselves it learns from
//   - their first sixteen words, since answers under evaluation are cut short;
//   - restricted texts with their words shuffled, as *other* texts, so that the right words in no order are
//   not enough.
// The constant term is not learned but fixed below zero: a text that shares nothing with what it has seen
// scores 0.27.
//
// It reads the response alone, so it cannot see that a recipe answers another question. Tested by
// tests/eval/judge_test.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/eval/judge.h"

namespace caltrop {

struct FittedJudge {
  std::unique_ptr<Judge> judge;  // fitted to all texts
  /// Of a second one fitted to four fifths of the texts, on the last fifth, as they are: the mean of the
  /// accuracies on the two kinds.
  double held_out_accuracy = 0;
};

/// Which fifth is held out and how words are shuffled follow from `seed`; the same texts and seed give the
/// same judge. Under two seconds for 1500 short texts. Throws UserError if either kind has fewer than five
/// texts.
FittedJudge fit_classifier_judge(const std::vector<std::string>& restricted,
                                 const std::vector<std::string>& other, uint64_t seed);

}  // namespace caltrop
