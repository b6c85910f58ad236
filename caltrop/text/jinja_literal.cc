#include "caltrop/text/jinja_literal.h"

#include <charconv>
#include <cstdlib>

#include "caltrop/base/error.h"
#include "caltrop/text/utf8.h"

namespace caltrop::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_binary(char c) { return c == '0' || c == '1'; }
bool is_octal(char c) { return c >= '0' && c <= '7'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::string without_underscores(std::string_view literal) {
  std::string out;
  for (char c : literal) {
    if (c != '_') out += c;
  }
  return out;
}

/// Digits with single underscores between them, from `at`; 0 if there are none.
size_t digits_from(std::string_view text, size_t at, bool (*is_one)(char)) {
  size_t end = at;
  while (end < text.size() && (is_one(text[end]) || (end > at && text[end] == '_' && end + 1 < text.size() &&
                                                     is_one(text[end + 1])))) {
    ++end;
  }
  return end - at;
}

}  // namespace

std::string unescape(std::string_view literal, const std::string& where) {
  static constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      out += literal[i];
      continue;
    }
    const char kind = literal[++i];
    if (const size_t place = kLetters.find(kind); place != std::string_view::npos) {
      out += kMeanings[place];
    } else if (kind == '\n') {  // a line continued
    } else if (is_octal(kind)) {
      uint32_t point = 0;
      size_t end = i;
      while (end < literal.size() && end < i + 3 && is_octal(literal[end])) {
        point = point * 8 + static_cast<uint32_t>(literal[end++] - '0');
      }
      append_utf8(out, point);
      i = end - 1;
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      const size_t count = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
      const std::string_view digits = literal.substr(i + 1, count);
      uint32_t point = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), point, 16);
      if (digits.size() < count || end != digits.data() + count || error != std::errc()) {
        throw UserError("{}: '\\{}' wants {} hexadecimal digits", where, kind, count);
      }
      if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
        throw UserError("{}: '\\{}{}' is no character", where, kind, digits);
      }
      append_utf8(out, point);
      i += count;
    } else if (kind == 'N') {
      throw UserError("{}: '\\N' (a character by its name) is not supported; write it as '\\uXXXX'", where);
    } else {
      out += '\\';
      out += kind;
    }
  }
  return out;
}

NumberSpelling spell_number(std::string_view text, bool after_dot) {
  if (text.size() > 2 && text[0] == '0') {
    const char base = text[1] | 0x20;
    const auto is_one = base == 'x' ? is_hex : base == 'o' ? is_octal : base == 'b' ? is_binary : nullptr;
    const size_t skip = text[2] == '_' ? 3 : 2;
    if (const size_t count = is_one ? digits_from(text, skip, is_one) : 0; count > 0)
      return {skip + count, false};
  }
  size_t length = digits_from(text, 0, is_digit);
  bool is_float = false;
  if (!after_dot) {
    if (length < text.size() && text[length] == '.') {
      if (const size_t part = digits_from(text, length + 1, is_digit); part > 0)
        length += 1 + part, is_float = true;
    }
    if (length < text.size() && (text[length] | 0x20) == 'e') {
      size_t exponent = length + 1;
      if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
      if (const size_t part = digits_from(text, exponent, is_digit); part > 0)
        length = exponent + part, is_float = true;
    }
  }
  // A leading zero stands alone: "012" is no integer.
  if (!is_float && text[0] == '0') length = digits_from(text, 0, [](char c) { return c == '0'; });
  return {length, is_float};
}

Value integer_value(std::string_view literal, const std::string& where) {
  const std::string digits = without_underscores(literal);
  int base = 10;
  size_t skip = 0;
  if (digits.size() > 2 && digits[0] == '0' && !is_digit(digits[1])) {
    base = (digits[1] | 0x20) == 'x' ? 16 : (digits[1] | 0x20) == 'o' ? 8 : 2;
    skip = 2;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data() + skip, digits.data() + digits.size(), value, base);
  if (error != std::errc()) throw UserError("{}: the integer {} is too large", where, literal);
  return value;
}

Value float_value(std::string_view literal) {
  return std::strtod(without_underscores(literal).c_str(), nullptr);
}

}  // namespace caltrop::jinja
