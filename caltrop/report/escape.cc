#include "caltrop/report/escape.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include "caltrop/base/files.h"

namespace caltrop {
namespace {

struct CodePoint {
  char32_t value;
  size_t bytes;
};

/// The first code point of `text`; U+FFFD for one byte that begins none (overlong forms and surrogates
/// included).
CodePoint decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {0xFFFD, 1};
  char32_t value = lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0xFFFD, 1};
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kSmallest[length] || value > 0x10FFFF || surrogate) return {0xFFFD, 1};
  return {value, length};
}

/// Characters that change how others look, or that look like nothing.
bool is_invisible(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {0x00, 0x1F},      {0x7F, 0x9F},     {0xAD, 0xAD},      // controls, soft hyphen
      {0x034F, 0x034F},  {0x061C, 0x061C}, {0x115F, 0x1160},  // joiner, Arabic mark, Hangul fillers
      {0x180B, 0x180F},  {0x200B, 0x200F}, {0x2028, 0x202E},  // zero width, separators, direction
      {0x2060, 0x206F},  {0x3164, 0x3164}, {0xFE00, 0xFE0E},  // isolates, filler, variation selectors
      {0xFEFF, 0xFEFF},  {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB},  // byte order mark, annotations
      {0xE0000, 0xE0FFF}};                                    // tags and more variation selectors
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [c](const Range& range) { return range.first <= c && c <= range.last; });
}

/// How such a character is shown. Unicode has pictures of the controls (␀), but many fonts have not.
std::string picture(char32_t c) {
  const auto code = static_cast<uint32_t>(c);
  if (code <= 0xFF) return fmt::format("\\x{:02x}", code);
  if (code <= 0xFFFF) return fmt::format("\\u{:04x}", code);
  return fmt::format("\\u{{{:x}}}", code);
}

template <typename Ordinary, typename Invisible>
std::string convert(std::string_view text, Ordinary ordinary, Invisible invisible) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const CodePoint c = decode(text);
    if (is_invisible(c.value)) {
      out += invisible(c.value);
    } else {
      out += c.value == 0xFFFD ? "\uFFFD" : ordinary(text.substr(0, c.bytes));
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string escape_markup(std::string_view c) {
  if (c == "&") return "&amp;";
  if (c == "<") return "&lt;";
  if (c == ">") return "&gt;";
  if (c == "\"") return "&quot;";
  if (c == "'") return "&#39;";
  return std::string(c);
}

bool is_layout(char32_t c) { return c == '\n' || c == '\t'; }

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t k) { return k < bytes.size() ? static_cast<uint8_t>(bytes[k]) : 0u; };
    const uint32_t group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

}  // namespace

std::string html_text(std::string_view text) {
  return convert(text, escape_markup, [](char32_t c) {
    return is_layout(c) ? std::string(1, static_cast<char>(c))
                        : "<span class=\"ctl\">" + picture(c) + "</span>";
  });
}

std::string html_attribute(std::string_view text) {
  return convert(text, escape_markup, [](char32_t c) { return picture(c); });
}

std::string terminal_text(std::string_view text) {
  return convert(
      text, [](std::string_view c) { return std::string(c); },
      [](char32_t c) { return is_layout(c) ? std::string(" ") : picture(c); });
}

std::string script_json(const Json& value) {
  std::string out;
  std::string_view text;
  const std::string line = to_line(value);
  for (text = line; !text.empty();) {
    const CodePoint c = decode(text);
    const bool special =
        c.value == '<' || c.value == '>' || c.value == '&' || c.value == 0x2028 || c.value == 0x2029;
    out += special ? fmt::format("\\u{:04x}", static_cast<uint32_t>(c.value))
                   : std::string(text.substr(0, c.bytes));
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string content_hash(std::string_view content) {
  const std::string hex = sha256(content);
  std::string digest;
  for (size_t i = 0; i < hex.size(); i += 2)
    digest += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return "'sha256-" + base64(digest) + "'";
}

}  // namespace caltrop
