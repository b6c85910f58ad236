// How strings and numbers are spelt in a template. Tested by tests/text/jinja_test.cc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "caltrop/text/jinja_value.h"

namespace caltrop::jinja {

/// The content of a string literal: Python's escapes resolved, an unknown one ("\d") left as it is. Throws
/// UserError "<where>: …".
std::string unescape(std::string_view literal, const std::string& where);

struct NumberSpelling {
  size_t length;
  bool is_float;
};
/// How many bytes at the start of `text`, which starts with a digit, are one number. After a dot ("x.0.1") a
/// number is never a float.
NumberSpelling spell_number(std::string_view text, bool after_dot);

/// The value of an integer literal ("1_000", "0xff") or a float literal. Throws UserError "<where>: …".
Value integer_value(std::string_view literal, const std::string& where);
Value float_value(std::string_view literal);

}  // namespace caltrop::jinja
