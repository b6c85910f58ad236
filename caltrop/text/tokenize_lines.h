// A tokenizer as a filter: for `caltrop tokenize` and for comparing with another one.
// Tested by tests/text/tokenize_lines_test.cc.
#pragma once

#include <istream>
#include <ostream>
#include <string>

#include "caltrop/text/tokenizer.h"

namespace caltrop {

/// For each line of `in` that is not blank one line of `out`: for a JSON string the list of its ids, those
/// that start and end every text included; for a list of ids the string that they decode to, special tokens
/// included. Throws UserError "<source>: line L…" for anything else, after the lines before it.
void tokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out,
                    const std::string& source);

}  // namespace caltrop
