// The values of a template: Python's, as far as chat templates go.
//
// A template was written for Python, and what it prints depends on Python's ideas of truth ("" and [] are
// false), of equality (1 == 1.0 == True), of order, and of how a value looks as text (True, None, 1.0, ['a',
// "it's"]). Those ideas are all here; the functions that templates call are in jinja_filters.cc,
// jinja_tests.cc and jinja_methods.cc.
//
// Values are immutable and shared, except a namespace, which exists to be written to. They are nested at most
// 100 deep and count at most a million values within one another (functions hold what they are bound to), so
// that whatever goes through one ends. What going through one costs is charged to the Runtime on the way.
//
// Tested by tests/text/jinja_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "caltrop/base/json.h"

namespace caltrop::jinja {

/// What goes wrong inside a template while it runs. JinjaTemplate::render makes a UserError of it with
/// template and line; nobody else catches it.
class Failure : public std::runtime_error {
 public:
  template <typename... Args>
  explicit Failure(fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

class Value;
class Runtime;

/// What was asked for and is not there. It prints as nothing, is false and empty, and fails in any other use.
struct Undefined {
  std::string what;  // "'x' is undefined"
};
struct None {};

/// How deep values lie within one, and how many there are, itself included.
struct Extent {
  int depth = 1;
  size_t weight = 1;
  /// Counts what is held. Throws Failure if that is nested too deeply or too much.
  void add(const Value& held);
};

/// Python's several kinds of sequence differ in how they print and in what they allow.
struct Sequence {
  enum class Kind {
    kList,
    kTuple,
    kRange,
    kGenerator,  // what map, select and their like give: can be gone through once, has no length, is always
                 // true
    kDictKeys,
    kDictValues,
    kDictItems,
  };
  Kind kind;
  std::vector<Value> items;
  std::function<std::vector<Value>()> make;  // of a generator; null once it was gone through
  Extent extent;
};

/// In the order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  Extent extent;
  const Value* find(Runtime& runtime, const Value& key) const;  // nullptr if it is not there
};

struct Namespace {
  std::map<std::string, Value> attributes;
  Extent
      extent;  // of `loop`, which nobody writes to; others may hold themselves, and the Runtime empties them in the end
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable {
  std::string name;
  std::function<Value(Runtime&, const Arguments&)> call;
  Extent extent;
};

class Value {
 public:
  Value() : data_(Undefined{"an undefined value"}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None) : data_(None{}) {}
  Value(bool truth) : data_(truth) {}
  Value(int64_t number) : data_(number) {}
  Value(double number) : data_(number) {}
  Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<Namespace> space) : data_(std::move(space)) {}
  Value(std::shared_ptr<const Callable> callable) : data_(std::move(callable)) {}

  /// Throw Failure if nested too deeply or too large.
  static Value sequence(Sequence::Kind kind, std::vector<Value> items);
  static Value list(std::vector<Value> items) { return sequence(Sequence::Kind::kList, std::move(items)); }
  static Value tuple(std::vector<Value> items) { return sequence(Sequence::Kind::kTuple, std::move(items)); }
  /// Calls `make` when it is gone through: never, perhaps. `uses` are the values within `make`.
  static Value generator(const std::vector<Value>& uses, std::function<std::vector<Value>()> make);
  /// A later key replaces the value of an equal earlier one. Throws Failure for keys that have no hash.
  static Value dict(Runtime& runtime, std::vector<std::pair<Value, Value>> items);
  /// `uses` are the values within `call`.
  static Value function(std::string name, std::function<Value(Runtime&, const Arguments&)> call,
                        const std::vector<Value>& uses = {});
  static Value from_json(Runtime& runtime, const Json& json);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }  // not for true and false
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }  // as Python, where True is 1
  bool is_text() const { return text_if() != nullptr; }

  // The content, or nullptr if it is of another kind.
  const Undefined* undefined_if() const { return std::get_if<Undefined>(&data_); }
  const std::string* text_if() const { return pointer<const std::string>(); }
  const Sequence* sequence_if() const { return pointer<Sequence>(); }
  const Dict* dict_if() const { return pointer<const Dict>(); }
  Namespace* namespace_if() const { return pointer<Namespace>(); }
  const Callable* callable_if() const { return pointer<const Callable>(); }
  const Extent* extent_if() const;  // of whatever holds others

  // The content. Fail unless it is of that kind; `who` starts the message.
  const std::string& text(std::string_view who) const;
  int64_t integer(std::string_view who) const;  // true is 1
  double number(std::string_view who) const;
  bool truth() const;

  /// The items of whatever can be gone through: characters of a text, keys of a dict. Uses up a generator. Throws Failure for a
  /// text of more than a million characters.
  std::vector<Value> iterate() const;
  /// How many; fails for a generator and for what has no length.
  int64_t length() const;

  /// How it is named in messages: "a string", "None", "a list".
  std::string kind_name() const;
  /// Values within it, itself included; the length of a text. What it costs to go through it.
  size_t weight() const;

  template <typename T>
  const T& as() const {
    return std::get<T>(data_);
  }
  /// Whether both are the same list, dict, namespace or function.
  bool is(const Value& other) const;

 private:
  friend bool equal(Runtime& runtime, const Value& a, const Value& b);
  template <typename T>
  T* pointer() const {
    const auto* held = std::get_if<std::shared_ptr<T>>(&data_);
    return held == nullptr ? nullptr : held->get();
  }
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<const Callable>>
      data_;
};

/// a == b.
bool equal(Runtime& runtime, const Value& a, const Value& b);
/// a < b; fails where Python does ("cannot compare a string with None").
bool less(Runtime& runtime, const Value& a, const Value& b);
/// needle in haystack.
bool contains(Runtime& runtime, const Value& haystack, const Value& needle);

/// str(value): what {{ value }} prints. Fails, as the next ones do, as soon as the text is too long.
std::string to_text(Runtime& runtime, const Value& value);
/// repr(value): what it looks like within a list.
std::string to_repr(Runtime& runtime, const Value& value);
/// repr of a float: "1.0", "1e-07", "inf".
std::string to_repr(double number);

struct JsonStyle {
  bool indented = false;
  std::string indent;
  std::string item_separator = ", ", key_separator = ": ";
  bool ascii_only = false, sort_keys = false;
};
/// json.dumps(value): unlike jinja2's own, the tojson of chat templates escapes nothing for HTML.
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace caltrop::jinja
