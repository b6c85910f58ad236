#include "caltrop/base/json.h"

#include <optional>
#include <unordered_set>
#include <vector>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"

namespace caltrop {
namespace {

// The library copies and prints by recursion, so that a hostile file could otherwise exhaust the stack.
constexpr size_t kDeepest = 200;

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

// Builds the value from the parser's events. The library's own builder looks through all keys of an object
// for each new one, which takes 20 seconds for a vocabulary of 150,000 tokens, and keeps the last of two
// equal keys in silence; two readers of such a file may then disagree about what it says.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& source, int64_t first_line)
      : text_(text), source_(source), first_line_(first_line) {}

  Json result() {
    if (duplicate_) throw UserError("{}: the key '{}' stands twice in one object", source_, *duplicate_);
    return std::move(root_);
  }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }

  bool start_object(size_t) override {
    open(Json::object());
    keys_.emplace_back();
    return true;
  }
  bool key(string_t& key) override {
    if (!keys_.back().insert(key).second && !duplicate_) duplicate_ = key;
    key_ = std::move(key);
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    open_.pop_back();
    return true;
  }
  bool start_array(size_t) override {
    open(Json::array());
    return true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }

  bool parse_error(size_t byte, const std::string&, const Json::exception& error) override {
    std::string what = error.what();
    if (dynamic_cast<const Json::out_of_range*>(&error) != nullptr) {  // "… number overflow parsing '1e999'"
      const size_t begin = what.find('\'') + 1;
      const std::string number = what.substr(begin, what.rfind('\'') - begin);
      const auto [line, column] = place_of(text_, text_.find(number), first_line_);
      throw UserError("{}: line {}, column {}: the number {} is too large", source_, line, column, number);
    }
    const auto [line, column] = place_of(text_, byte > 0 ? byte - 1 : 0, first_line_);
    if (const size_t at = what.rfind(": "); at != std::string::npos) {
      const size_t reason = what.find("; ");
      what = reason == std::string::npos ? what.substr(at + 2) : what.substr(reason + 2);
    }
    throw UserError("{}: line {}, column {}: not valid JSON ({})", source_, line, column, what);
  }

 private:
  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  void open(Json value) {
    if (open_.size() == kDeepest) throw UserError("{}: nested more than {} levels deep", source_, kDeepest);
    open_.push_back(place(std::move(value)));
  }

  // Puts a value where the next one goes. A pointer to it is good until its parent gets another value.
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
    return &parent.get_ref<Json::object_t&>().emplace_back(std::move(key_), std::move(value)).second;
  }

  std::string_view text_;
  const std::string& source_;
  int64_t first_line_;
  Json root_;
  std::vector<Json*> open_;                            // the lists and objects around the next value
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects among them
  std::string key_;
  std::optional<std::string> duplicate_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& source, int64_t first_line) {
  Builder builder(text, source, first_line);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.result();
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
