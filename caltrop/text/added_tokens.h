// Added tokens: strings that become one token wherever they stand in a text, before any other stage sees
// them.
//
// They are cut out leftmost first, the longest of those that begin at one place; in two passes, those that
// are not `normalized` from the text as it came, the others from what the normalizer made of the rest.
// Options of a token:
//
//   single_word     only where no letter, mark or digit stands directly before or after it
//   lstrip, rstrip  it takes the white space before, after it
//   special         decode() may leave it out
//
// Tested by tests/text/added_tokens_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caltrop/text/normalizer.h"
#include "caltrop/text/regex.h"
#include "caltrop/text/span.h"

namespace caltrop {

struct AddedToken {
  int64_t id;
  std::string content;  // as it is spelt in the file
  bool single_word, lstrip, rstrip, normalized, special;
  std::string pattern;  // what is looked for: the content, after the normalizer if `normalized`
};

/// The list "added_tokens" of a tokenizer.json (null for none). Throws UserError for what is wrong with it
/// alone; ids are checked against the vocabulary by whoever has both.
std::vector<AddedToken> read_added_tokens(const Json& list, const std::string& source,
                                          const Normalizer& normalizer);

/// Finds some added tokens in texts. Immutable; any number of threads may use one at a time.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  struct Piece {
    Span span;
    std::optional<int64_t> id;  // of the added token that this is
  };
  /// The text in pieces, in order, the parts between tokens included. They cover the text, except that the
  /// reference lets an `rstrip` token overlap with a token of white space that follows it; so do we. REQUIRES
  /// valid UTF-8.
  std::vector<Piece> cut(std::string_view text) const;

 private:
  const AddedToken* longest_at(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;  // sorted by pattern: a prefix tree without nodes
  std::vector<bool> is_first_byte_ = std::vector<bool>(256);  // of a pattern
};

}  // namespace caltrop
