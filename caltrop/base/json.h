// JSON with places in its errors. Objects keep the order of their keys, so what is read and written again
// stays as it was. Tested by tests/base/json_test.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace caltrop {

using Json = nlohmann::ordered_json;

/// Parses one JSON text. Throws UserError "<source>: line L, column C: …" for syntax errors, invalid UTF-8
/// and numbers too large for a double, and "<source>: …" for duplicate keys and more than 200 nested levels.
/// `first_line` is the line number of the text's first line within its file.
Json parse_json(std::string_view text, const std::string& source, int64_t first_line = 1);

/// Reads a whole file as one JSON text. Throws UserError.
Json read_json(const std::filesystem::path& path);

/// Calls `row(value, line)` for each non-blank line of a JSON-lines file; lines count from 1. Throws
/// UserError.
void read_json_lines(const std::filesystem::path& path, const std::function<void(const Json&, int64_t)>& row);

/// One line without spaces; invalid UTF-8 becomes U+FFFD (model output may hold any bytes). Floats keep 17
/// digits.
std::string to_line(const Json& value);

/// Indented by two, with a final newline.
std::string to_pretty(const Json& value);

/// `object[key]` as T. Throws UserError "<where>: …" if the key is missing or of another kind.
template <typename T>
T required(const Json& object, const std::string& key, const std::string& where);

/// The same with a fallback for a missing or null key; a value of another kind still throws.
template <typename T>
T optional(const Json& object, const std::string& key, const std::string& where, T fallback) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (it == object.end() || it->is_null()) return fallback;
  return required<T>(object, key, where);
}

}  // namespace caltrop
