#include "caltrop/base/json.h"

#include <set>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"

namespace caltrop {
namespace {

// The library copies and prints by recursion, so that a hostile file could otherwise exhaust the stack.
constexpr int kDeepest = 200;

struct Place {
  int64_t line, column;
};

Place place_of(std::string_view text, size_t byte, int64_t first_line) {
  Place place{first_line, 1};
  for (size_t i = 0; i < std::min(byte, text.size()); ++i) {
    if (text[i] == '\n') {
      ++place.line;
      place.column = 1;
    } else {
      ++place.column;
    }
  }
  return place;
}

const char* kind_name(const Json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "true or false";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return "null";
}

}  // namespace

Json parse_json(std::string_view text, const std::string& source, int64_t first_line) {
  // The library keeps the last of two equal keys in silence; two readers of such a file may then disagree
  // about what it says. So keys are counted as they come.
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kDeepest) throw UserError("{}: nested more than {} levels deep", source, kDeepest);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second && duplicate.empty()) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  Json value;
  try {
    value = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    const auto [line, column] = place_of(text, error.byte > 0 ? error.byte - 1 : 0, first_line);
    std::string what = error.what();
    if (const size_t at = what.rfind(": "); at != std::string::npos) {
      const size_t reason = what.find("; ");
      what = reason == std::string::npos ? what.substr(at + 2) : what.substr(reason + 2);
    }
    throw UserError("{}: line {}, column {}: not valid JSON ({})", source, line, column, what);
  } catch (const Json::out_of_range& error) {  // "… number overflow parsing '1e999'"
    const std::string what = error.what();
    const size_t begin = what.find('\'') + 1;
    const std::string number = what.substr(begin, what.rfind('\'') - begin);
    const auto [line, column] = place_of(text, text.find(number), first_line);
    throw UserError("{}: line {}, column {}: the number {} is too large", source, line, column, number);
  }
  if (!duplicate.empty()) throw UserError("{}: the key '{}' stands twice in one object", source, duplicate);
  return value;
}

Json read_json(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

void read_json_lines(const std::filesystem::path& path,
                     const std::function<void(const Json&, int64_t)>& row) {
  const std::string text = read_file(path);
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    ++line;
    const std::string_view one(text.data() + begin, end - begin);
    if (one.find_first_not_of(" \t\r") != std::string_view::npos)
      row(parse_json(one, path.string(), line), line);
    begin = end + 1;
  }
}

std::string to_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string to_pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

template <typename T>
T required(const Json& object, const std::string& key, const std::string& where) {
  if (!object.is_object())
    throw UserError("{}: got {}, want an object with '{}'", where, kind_name(object), key);
  const auto it = object.find(key);
  if (it == object.end()) throw UserError("{}: '{}' is missing", where, key);
  bool fits;
  const char* want;
  if constexpr (std::is_same_v<T, bool>) {
    fits = it->is_boolean(), want = "true or false";
  } else if constexpr (std::is_same_v<T, int64_t>) {
    fits = it->is_number_integer(), want = "an integer";
  } else if constexpr (std::is_same_v<T, double>) {
    fits = it->is_number(), want = "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    fits = it->is_string(), want = "a string";
  } else {
    fits = true, want = "a value";
  }
  if (!fits) throw UserError("{}: '{}' is {}, want {}", where, key, kind_name(*it), want);
  return it->template get<T>();
}

template bool required(const Json&, const std::string&, const std::string&);
template int64_t required(const Json&, const std::string&, const std::string&);
template double required(const Json&, const std::string&, const std::string&);
template std::string required(const Json&, const std::string&, const std::string&);
template Json required(const Json&, const std::string&, const std::string&);

}  // namespace caltrop
