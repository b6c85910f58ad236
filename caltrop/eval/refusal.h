// Whether a text refuses, read from its words.
//
// Phrases come from two places: an English list of our own, and the openers of the refusals that the domain
// trains its models with. The English list is the published one (Zou et al. 2023, Qi et al. 2024) cleaned of
// what is no refusal: "Hello!" is a greeting, "illegal" and "not appropriate" occur in answers, "I'm sorry"
// may go on "to hear that".
//
// Two questions, never one: a text that begins with a refusal did refuse; a text that contains one may have
// answered first, or may warn after answering. An empty text neither refuses nor complies, and both are false
// for it. English only. Pure functions of the text; thread-safe. Tested by tests/eval/refusal_test.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caltrop {

class RefusalDetector {
 public:
  /// `known_refusals`: texts that are refusals; the first four words of each become a phrase.
  explicit RefusalDetector(const std::vector<std::string>& known_refusals);

  /// The first words are a refusal (marks and white space before them do not count).
  bool refuses_at_start(std::string_view text) const;
  /// A refusal stands somewhere in the text.
  bool refuses_anywhere(std::string_view text) const;

 private:
  bool refuses_at(const std::vector<std::string>& words, size_t at) const;

  std::vector<std::vector<std::string>> openers_;  // of the known refusals, as words
};

}  // namespace caltrop
