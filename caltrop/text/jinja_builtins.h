// What a template can call: filters, tests, methods and functions, each a table by name.
//
// They do what jinja2 and Python do (jinja2: src/jinja2/filters.py and tests.py, 3.1), and fail where those
// fail. Methods that change a list or dict are missing as in the sandbox that transformers uses. "escape" and
// "safe" give plain strings, which later operations do not treat as escaped. Tested by
// tests/text/jinja_test.cc.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caltrop/text/jinja_value.h"

namespace caltrop::jinja {

using FilterFunction = Value (*)(Runtime&, const Value& object, const Arguments&);
const std::map<std::string, FilterFunction>& filters();

using TestFunction = bool (*)(Runtime&, const Value& object, const Arguments&);
const std::map<std::string, TestFunction>& tests();

/// range, namespace, dict, raise_exception, strftime_now.
const std::map<std::string, Value>& functions();

/// The method `name` bound to its object; undefined if the object has none of that name.
Value find_method(const Value& object, const std::string& name);
std::vector<std::string> method_names(const Value& object);

/// The arguments of a call by the places of their parameters.
class Bound {
 public:
  /// Fails for one argument too many, for an unknown name, and if one of the first `required` is missing.
  Bound(const Arguments& arguments, std::string_view who, const std::vector<std::string>& parameters,
        size_t required = 0);
  bool has(size_t place) const { return values_[place].has_value(); }
  /// Undefined if it was not given.
  Value operator[](size_t place) const {
    return values_[place].value_or(Undefined{"an argument that is not given"});
  }
  std::string text(size_t place, std::string fallback) const;
  int64_t integer(size_t place, int64_t fallback) const;
  bool truth(size_t place, bool fallback) const { return has(place) ? values_[place]->truth() : fallback; }

 private:
  std::string who_;
  std::vector<std::optional<Value>> values_;
};

template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& [name, value] : table) names.push_back(name);
  return names;
}

/// object.name and object[index] as templates have them; undefined if there is no such thing.
Value attribute_of(Runtime& runtime, const Value& object, const std::string& name);
Value item_of(Runtime& runtime, const Value& object, const Value& index);
/// object[from:to:step]; a bound that is None is an open one.
Value slice_of(const Value& object, const Value& from, const Value& to, const Value& step);

/// a op b for + - * / // % **.
Value arithmetic(const std::string& op, const Value& a, const Value& b);

/// Fails if a text of so many bytes would be too long (16 MiB).
void check_length(double bytes);

}  // namespace caltrop::jinja
