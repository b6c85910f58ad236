#include "caltrop/text/python_text.h"

#include <algorithm>

#include <utf8proc.h>

namespace caltrop {
namespace {

/// Bytes of the character at the start of `text`, 1 where it is not UTF-8; its code point goes to `out`.
size_t decode(std::string_view text, char32_t& out) {
  utf8proc_int32_t point = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t length =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size(), 4)), &point);
  out = length > 0 ? static_cast<char32_t>(point) : U'\uFFFD';
  return length > 0 ? static_cast<size_t>(length) : 1;
}

size_t length_of_first(std::string_view text) {
  if (static_cast<unsigned char>(text[0]) < 0x80) return 1;
  char32_t unused;
  return decode(text, unused);
}

using CaseMap = utf8proc_int32_t (*)(utf8proc_int32_t);

void append_mapped(std::string& out, std::string_view character, CaseMap map) {
  char32_t point;
  utf8proc_uint8_t bytes[4];
  if (decode(character, point); point == U'\uFFFD') {
    out += character;
    return;
  }
  const utf8proc_ssize_t length = utf8proc_encode_char(map(static_cast<utf8proc_int32_t>(point)), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

std::string mapped(std::string_view text, CaseMap map) {
  std::string out;
  for (std::string_view character : characters(text)) append_mapped(out, character, map);
  return out;
}

utf8proc_category_t category(std::string_view character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point(character)));
}

/// The last character of `text`.
std::string_view last_of(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && text.size() - start < 4 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80)
    --start;
  if (length_of_first(text.substr(start)) != text.size() - start) start = text.size() - 1;  // not UTF-8
  return text.substr(start);
}

template <typename Drop>
std::string_view strip_if(std::string_view text, Ends ends, Drop drop) {
  if (ends != Ends::kRight) {
    while (!text.empty() && drop(text.substr(0, length_of_first(text))))
      text.remove_prefix(length_of_first(text));
  }
  if (ends != Ends::kLeft) {
    while (!text.empty() && drop(last_of(text))) text.remove_suffix(last_of(text).size());
  }
  return text;
}

}  // namespace

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < text.size();) {
    const size_t length = length_of_first(text.substr(at));
    all.push_back(text.substr(at, length));
    at += length;
  }
  return all;
}

int64_t count_characters(std::string_view text) {
  int64_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(length_of_first(text));
  return count;
}

char32_t code_point(std::string_view character) {
  char32_t point;
  decode(character, point);
  return point;
}

bool is_space(std::string_view character) {
  const char32_t point = code_point(character);
  return (point >= 0x09 && point <= 0x0D) || (point >= 0x1C && point <= 0x20) || point == 0x85 ||
         point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
         point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

bool is_cased(std::string_view character) {
  const utf8proc_category_t kind = category(character);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT;
}

bool is_letter(std::string_view character) {
  const utf8proc_category_t kind = category(character);
  return is_cased(character) || kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_LO;
}

bool is_printable(std::string_view character) {
  if (character == " ") return true;
  switch (category(character)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string_view strip(std::string_view text, Ends ends) { return strip_if(text, ends, is_space); }

std::string_view strip(std::string_view text, Ends ends, std::string_view of) {
  const std::vector<std::string_view> dropped = characters(of);
  return strip_if(text, ends, [&](std::string_view character) {
    return std::find(dropped.begin(), dropped.end(), character) != dropped.end();
  });
}

std::string upper(std::string_view text) {
  std::string out;
  for (std::string_view character : characters(text)) {
    if (character == "ß") {
      out += "SS";
    } else {
      append_mapped(out, character, utf8proc_toupper);
    }
  }
  return out;
}

std::string lower(std::string_view text) { return mapped(text, utf8proc_tolower); }

std::string title(std::string_view text) {
  std::string out;
  bool within_word = false;
  for (std::string_view character : characters(text)) {
    append_mapped(out, character, within_word ? utf8proc_tolower : utf8proc_totitle);
    within_word = is_cased(character);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const size_t first = length_of_first(text);
  return mapped(text.substr(0, first), utf8proc_totitle) + lower(text.substr(first));
}

std::vector<std::string> split(std::string_view text, std::string_view separator, int64_t limit,
                               bool from_right) {
  std::vector<std::string> parts;
  while (limit != 0) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    if (from_right) {
      parts.emplace_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.emplace_back(text.substr(0, at));
      text.remove_prefix(at + separator.size());
    }
    if (limit > 0) --limit;
  }
  parts.emplace_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_at_space(std::string_view text, int64_t limit, bool from_right) {
  std::vector<std::string_view> all = characters(text);
  if (from_right) std::reverse(all.begin(), all.end());
  std::vector<std::string> parts;
  for (size_t at = 0; at < all.size();) {
    while (at < all.size() && is_space(all[at])) ++at;
    if (at == all.size()) break;
    size_t end = at;
    const bool is_rest = limit >= 0 && static_cast<int64_t>(parts.size()) == limit;
    while (end < all.size() && (is_rest || !is_space(all[end]))) ++end;
    std::string part;
    if (from_right) {
      for (size_t i = end; i > at; --i) part += all[i - 1];
    } else {
      for (size_t i = at; i < end; ++i) part += all[i];
    }
    parts.push_back(std::move(part));
    if (is_rest) break;
    at = end;
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  std::string line;
  const std::vector<std::string_view> all = characters(text);
  for (size_t i = 0; i < all.size(); ++i) {
    const char32_t point = code_point(all[i]);
    const bool ends = (point >= 0x0A && point <= 0x0D) || (point >= 0x1C && point <= 0x1E) || point == 0x85 ||
                      point == 0x2028 || point == 0x2029;
    if (!ends || keep_ends) line += all[i];
    if (!ends) continue;
    if (point == '\r' && i + 1 < all.size() && all[i + 1] == "\n") {
      ++i;
      if (keep_ends) line += '\n';
    }
    lines.push_back(std::move(line));
    line.clear();
    if (i + 1 == all.size()) return lines;
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

std::string replace(std::string_view text, std::string_view old, std::string_view with, int64_t limit) {
  std::string out;
  if (old.empty()) {
    for (std::string_view character : characters(text)) {
      if (limit != 0) out += with;
      if (limit > 0) --limit;
      out += character;
    }
    if (limit != 0) out += with;
    return out;
  }
  while (limit != 0) {
    const size_t at = text.find(old);
    if (at == std::string_view::npos) break;
    out += text.substr(0, at);
    out += with;
    text.remove_prefix(at + old.size());
    if (limit > 0) --limit;
  }
  return out += text;
}

}  // namespace caltrop
