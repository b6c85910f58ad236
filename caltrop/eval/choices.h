// General ability: questions with several choices, answered by likelihood. Tested by
// tests/eval/choices_test.cc.
//
// A choice's score is the log-probability of its text after the question: the sum over its tokens ("sum"), or
// that divided by its length in UTF-8 bytes ("per_byte", lm-eval's acc_bytes). The highest wins; a model that
// knows nothing is right one time in (number of choices).
#pragma once

#include <filesystem>
#include <vector>

#include "caltrop/data/collate.h"
#include "caltrop/eval/likelihood.h"

namespace caltrop {

struct ChoiceQuestion {
  std::string kind;
  std::string prompt;
  std::vector<std::string> choices;
  int64_t answer = 0;  // index of the right one
  bool per_byte = false;
  bool chat = true;  // the prompt is a user's turn; otherwise plain text that the choice continues
};

/// Reads JSON lines {kind, prompt, choices, answer, scoring: sum|per_byte, format: chat|plain}. Throws
/// UserError with file and line.
std::vector<ChoiceQuestion> load_choices(const std::filesystem::path& path);

struct ChoicesResult {
  double accuracy = 0, standard_error = 0;  // of the mean of right answers
  double chance = 0;                        // mean of 1 / number of choices
  int64_t questions = 0;
};

class ChoicesTest {
 public:
  /// The first `limit` questions (0: all), spread evenly over the file, as tokens. Throws UserError if there
  /// are none.
  ChoicesTest(std::vector<ChoiceQuestion> questions, const ChatEncoder& encoder, int64_t limit);

  ChoicesResult run(const Model& model) const;

 private:
  std::vector<ChoiceQuestion> questions_;
  std::vector<TokenRow> rows_;  // of all choices of all questions
};

}  // namespace caltrop
