// The pre-tokenizer of a tokenizer.json: where words begin and end. No token crosses the end of a word.
//
//   Split       at the matches of an expression or a string; `behavior` says what becomes of the matches
//   Digits      Split around numbers (category N), all in a row or each alone
//   ByteLevel   GPT-2's expression, unless use_regex is false; says that the vocabulary is one of bytes
//   Sequence    one after the other, each splitting the words of those before it
//
// Tested by tests/text/pre_tokenizer_test.cc.
#pragma once

#include <optional>
#include <vector>

#include "caltrop/text/aligned_text.h"
#include "caltrop/text/component.h"
#include "caltrop/text/regex.h"

namespace caltrop {

/// Immutable; any number of threads may use one at a time.
class PreTokenizer {
 public:
  /// Makes the whole text one word.
  PreTokenizer() = default;
  /// Throws UserError for a type or an option that is unknown, a bad expression, and a ByteLevel that is not
  /// the last.
  explicit PreTokenizer(const Component& component);

  /// Whether the model sees bytes instead of characters.
  bool byte_level() const { return byte_level_; }

  /// Replaces `words` by the words of `text`, none of them empty. ByteLevel with add_prefix_space changes the
  /// text: it puts a space before each word of the splitters before it that does not start with one. REQUIRES
  /// valid UTF-8.
  void split(AlignedText& text, std::vector<Span>& words) const;

 private:
  enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };
  struct Splitter {
    Regex regex;
    Behavior behavior;
    bool invert;  // matches and what lies between them change places

    void split(std::string_view text, Span word, std::vector<Span>& out) const;
  };

  void add(const Component& component);
  void add_split(const Component& component);
  void add_byte_level(const Component& component);

  std::vector<Splitter> splitters_;
  bool byte_level_ = false;
  std::optional<size_t> prefix_space_before_;  // the splitter before which prefix spaces are added
};

}  // namespace caltrop
