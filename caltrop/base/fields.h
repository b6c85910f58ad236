// One table per options struct: from it come reading, checking, the help text and the record of what was
// used.
//
//   struct CtrapOptions {
//     double look_ahead = 0.1;
//     static auto fields() {
//       using O = CtrapOptions;
//       return std::tuple{field("look_ahead", &O::look_ahead, 0, 1, "length of the imagined attacker's
//       step")};
//     }
//   };
//
// Members are double, int64_t, bool, std::string (any text, or one of some choices), vectors of double,
// int64_t or string, or Json: an object whose keys are not ours to name. Tested by tests/base/fields_test.cc.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"

namespace caltrop {

/// One option as people see it: in --help, in docs, in error messages.
struct OptionRow {
  std::string name;
  std::string type;      // "number", "integer", "true|false", "text", "a|b|c", "list of numbers", …
  std::string fallback;  // the default, as JSON
  std::string help;
};

template <typename O, typename T>
struct Field {
  const char* name;
  T O::* member;
  double low, high;  // inclusive range of a number, or of each in a list
  std::vector<std::string> choices;
  const char* help;
};

/// A number (or a list of numbers) within [low, high].
template <typename O, typename T>
Field<O, T> field(const char* name, T O::* member, double low, double high, const char* help) {
  return {name, member, low, high, {}, help};
}

/// Text, a list of texts, true|false, or an object.
template <typename O, typename T>
Field<O, T> field(const char* name, T O::* member, const char* help) {
  return {name, member, -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity(),
          {},   help};
}

/// Text that is one of `choices`.
template <typename O>
Field<O, std::string> field(const char* name, std::string O::* member, std::vector<std::string> choices,
                            const char* help) {
  return {name, member, 0, 0, std::move(choices), help};
}

namespace internal {

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <typename T>
std::string type_name(const std::vector<std::string>& choices) {
  if constexpr (IsVector<T>::value) return "list of " + type_name<typename T::value_type>(choices) + "s";
  if constexpr (std::is_same_v<T, double>) return "number";
  if constexpr (std::is_same_v<T, int64_t>) return "integer";
  if constexpr (std::is_same_v<T, bool>) return "true|false";
  if constexpr (std::is_same_v<T, Json>) return "object";
  if (!choices.empty()) return join(choices, "|");
  return "text";
}

template <typename T>
bool read_value(T& out, const Json& given) {
  if constexpr (IsVector<T>::value) {
    if (!given.is_array()) return false;
    out.clear();
    for (const Json& one : given) {
      typename T::value_type value{};
      if (!read_value(value, one)) return false;
      out.push_back(value);
    }
    return true;
  } else if constexpr (std::is_same_v<T, double>) {
    if (!given.is_number()) return false;
  } else if constexpr (std::is_same_v<T, int64_t>) {
    if (!given.is_number_integer()) return false;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!given.is_boolean()) return false;
  } else if constexpr (std::is_same_v<T, Json>) {
    if (!given.is_object()) return false;
  } else {
    if (!given.is_string()) return false;
  }
  if constexpr (!IsVector<T>::value) out = given.template get<T>();
  return true;
}

template <typename T>
bool in_range(const T& value, double low, double high) {
  if constexpr (IsVector<T>::value) {
    for (const auto& one : value) {
      if (!in_range(one, low, high)) return false;
    }
    return true;
  } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, int64_t>) {
    return static_cast<double>(value) >= low && static_cast<double>(value) <= high;  // false for NaN
  } else {
    return true;
  }
}

template <typename P, typename O, typename T>  // P is O or derived from it
void read_field(P& options, const Field<O, T>& f, const Json& given, const std::string& who) {
  T value{};
  if (!read_value(value, given)) {
    throw UserError("{}: option '{}' is {}, want {}", who, f.name, to_line(given), type_name<T>(f.choices));
  }
  if constexpr (std::is_same_v<T, std::string>) {
    if (!f.choices.empty() && std::find(f.choices.begin(), f.choices.end(), value) == f.choices.end()) {
      throw UserError("{}: option '{}' is '{}', want one of: {}", who, f.name, value, join(f.choices));
    }
  }
  if (!in_range(value, f.low, f.high)) {
    throw UserError("{}: option '{}' is {}, want {} to {}", who, f.name, to_line(given), f.low, f.high);
  }
  options.*f.member = std::move(value);
}

}  // namespace internal

/// Options with presets (defences/preset.h) are described as the preset has them that nobody names.
template <typename O>
std::vector<OptionRow> describe_options() {
  O defaults{};
  if constexpr (requires { O::of(defaults.preset); }) defaults = O::of(defaults.preset);
  std::vector<OptionRow> rows;
  std::apply(
      [&](const auto&... f) {
        (rows.push_back({f.name,
                         internal::type_name<std::remove_cvref_t<decltype(defaults.*f.member)>>(f.choices),
                         to_line(Json(defaults.*f.member)), f.help}),
         ...);
      },
      O::fields());
  return rows;
}

/// Sets the options named in the JSON object `given` and leaves the others. Throws UserError "<who>: …" for
/// an unknown name (listing the known ones), a value of the wrong kind, or one out of range; `options` is
/// then unspecified.
template <typename O>
void read_options(O& options, const Json& given, const std::string& who) {
  if (given.is_null()) return;
  if (!given.is_object()) throw UserError("{}: options are {}, want an object", who, to_line(given));
  for (const auto& [key, value] : given.items()) {
    bool known = false;
    std::apply(
        [&](const auto&... f) {
          ((key == f.name ? (known = true, internal::read_field(options, f, value, who)) : void()), ...);
        },
        O::fields());
    if (!known) {
      std::vector<std::string> names;
      for (const OptionRow& row : describe_options<O>()) names.push_back(row.name);
      throw unknown_name(who, "option", key, names);
    }
  }
}

/// Every option with its value: what a manifest records.
template <typename O>
Json write_options(const O& options) {
  Json json = Json::object();
  std::apply([&](const auto&... f) { ((json[f.name] = options.*f.member), ...); }, O::fields());
  return json;
}

/// Help text, one option a line.
std::string options_help(const std::vector<OptionRow>& rows, int indent = 2);

}  // namespace caltrop
