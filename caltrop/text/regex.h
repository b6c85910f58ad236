// Regular expressions as tokenizer files mean them, run by PCRE2's compiler.
//
// The files are written for Oniguruma. On the part of its language that they use, PCRE2 agrees with it and is
// three to four times as fast; where the two differ we either say the same thing in PCRE2's words or refuse
// the expression:
//
//   \s \S          Unicode White_Space. PCRE2's own \s also takes U+180E, which lost that property in
//                  Unicode 6.3.
//   ^ $            at every line.
//   a{,n}          up to n times: written as a{0,n}.
//   \w \b \h \v …  mean other things in the two engines: refused. So are [a&&b], [a[b]], [[:alpha:]], (?m)
//                  and (?s).
//
// Character properties are those of the Unicode version that PCRE2 was built with (14 in Debian 12); the
// reference may be built with a later one, and then splits differently around characters that are new in it.
//
// Tested by tests/text/regex_test.cc and tools/compare_tokenizers.py.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "caltrop/text/span.h"

namespace caltrop {

/// Immutable; any number of threads may use one at a time.
class Regex {
 public:
  /// Compiles an expression. Throws UserError "<where>: …" with the offset of what is wrong or refused.
  Regex(std::string_view pattern, const std::string& where);
  /// An expression that matches `text` itself. REQUIRES that `text` is not empty.
  static Regex literally(std::string_view text, const std::string& where);

  /// The leftmost match that begins at `from` or later; it looks back beyond `from` if the expression does.
  /// REQUIRES valid UTF-8 and a `from` between characters. Throws UserError if the expression backtracks
  /// without end.
  std::optional<Span> find(std::string_view text, size_t from) const;

 private:
  std::string where_;
  std::shared_ptr<const void> code_;
  bool is_compiled_ = false;  // to machine code; else it is interpreted, with the same matches
};

}  // namespace caltrop
