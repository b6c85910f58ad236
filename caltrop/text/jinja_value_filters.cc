#include <charconv>
#include <cmath>

#include "caltrop/text/jinja_filters.h"
#include "caltrop/text/jinja_runtime.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

using V = const Value&;
using A = const Arguments&;

template <std::string (*change)(std::string_view)>
Value changed_text(Runtime& runtime, V value, A arguments) {
  const Bound none(arguments, "a filter of texts", {});
  return change(to_text(runtime, value));
}

/// Unlike str.title(), the filter takes "it's" for one word.
std::string title_of_words(std::string_view text) {
  static constexpr std::string_view kBefore = "-({[<";
  std::string out;
  bool within_word = false;
  for (std::string_view character : characters(text)) {
    out += within_word ? lower(character) : upper(character);
    within_word = !is_space(character) && kBefore.find(character) == std::string_view::npos;
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string as_it_is(std::string_view text) { return std::string(text); }

Value trim(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'trim'", {"chars"});
  const std::string text = to_text(runtime, value);
  if (!bound.has(0) || bound[0].is_none()) return std::string(strip(text, Ends::kBoth));
  runtime.charge_search(text, bound.text(0, ""));
  return std::string(strip(text, Ends::kBoth, bound.text(0, "")));
}

Value replaced(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'replace'", {"old", "new", "count"}, 2);
  const std::string text = to_text(runtime, value), old = to_text(runtime, bound[0]),
                    with = to_text(runtime, bound[1]);
  runtime.charge_search(text, old);
  const int64_t limit = bound.has(2) && !bound[2].is_none() ? bound.integer(2, -1) : -1;
  const double times = old.empty() ? static_cast<double>(text.size()) + 1
                                   : static_cast<double>(split(text, old, limit, false).size()) - 1;
  check_length(static_cast<double>(text.size()) + times * static_cast<double>(with.size()));
  return replace(text, old, with, limit);
}

Value indented(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'indent'", {"width", "first", "blank"});
  std::string indent;
  if (bound[0].is_text()) {
    indent = bound.text(0, "");
  } else {
    const int64_t width = bound.integer(0, 4);
    check_length(static_cast<double>(width));
    indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const std::vector<std::string> lines = split_lines(value.text("filter 'indent'") + "\n", false);
  runtime.charge(lines.size());
  check_length(static_cast<double>(value.weight()) +
               static_cast<double>(lines.size()) * static_cast<double>(indent.size()));
  std::string out;
  if (bound.truth(1, false)) out = indent;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (bound.truth(2, false) || !lines[i].empty())) out += indent;
    out += lines[i];
  }
  return out;
}

Value absolute(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'abs'", {});
  if (value.is_float()) return std::abs(value.as<double>());
  const int64_t number = value.integer("filter 'abs'");
  return number < 0 ? arithmetic("-", int64_t{0}, number) : Value(number);
}

/// float(text) of Python; nothing if it is not a number.
std::optional<double> parse_float(const std::string& text) {
  std::string digits;
  for (char c : strip(text, Ends::kBoth)) {
    if (c != '_') digits += c;
  }
  if (digits.empty() || digits.find_first_of("xXpP(") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  if (end != digits.c_str() + digits.size()) return std::nullopt;
  return number;
}

std::optional<int64_t> whole_part(double number) {
  if (!(std::abs(number) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<int64_t> parse_integer(const std::string& text, int base) {
  std::string_view digits = strip(text, Ends::kBoth);
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto has_prefix = [&](char letter) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == letter;
  };
  if ((base == 16 && has_prefix('x')) || (base == 8 && has_prefix('o')) || (base == 2 && has_prefix('b'))) {
    digits.remove_prefix(2);
  }
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.starts_with('-'))
    return std::nullopt;
  return negative ? -number : number;
}

Value to_integer(Runtime&, V value, A arguments) {
  const Bound bound(arguments, "filter 'int'", {"default", "base"});
  const Value fallback = bound.has(0) ? bound[0] : Value(int64_t{0});
  const int64_t base = bound.integer(1, 10);
  if (base < 2 || base > 36) throw Failure("filter 'int': the base is {}, want 2 to 36", base);
  if (value.is_undefined()) throw Failure("filter 'int': got {}", value.kind_name());
  if (value.is_int() || value.is_bool()) return value.integer("");
  std::optional<int64_t> number;
  if (value.is_float()) number = whole_part(value.as<double>());
  if (const std::string* text = value.text_if()) {
    number = parse_integer(*text, static_cast<int>(base));
    if (const auto real = parse_float(*text); !number && real) number = whole_part(*real);
  }
  return number ? Value(*number) : fallback;
}

Value to_float(Runtime&, V value, A arguments) {
  const Bound bound(arguments, "filter 'float'", {"default"});
  if (value.is_undefined()) throw Failure("filter 'float': got {}", value.kind_name());
  if (value.is_number()) return value.number("");
  if (const std::string* text = value.text_if()) {
    if (const auto number = parse_float(*text)) return *number;
  }
  return bound.has(0) ? bound[0] : Value(0.0);
}

Value rounded(Runtime&, V value, A arguments) {
  const Bound bound(arguments, "filter 'round'", {"precision", "method"});
  const int64_t precision = bound.integer(0, 0);
  const std::string method = bound.text(1, "common");
  if (std::abs(precision) > 300)
    throw Failure("filter 'round': the precision is {}, want -300 to 300", precision);
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double number = value.number("filter 'round'");
  if (method == "ceil") return std::ceil(number * scale) / scale;
  if (method == "floor") return std::floor(number * scale) / scale;
  if (method != "common")
    throw Failure("filter 'round': no method '{}'; it has: common, ceil, floor", method);
  if (!value.is_float() && precision >= 0) return value.integer("");
  if (precision < 0) {
    const double result = std::nearbyint(number * scale) / scale;
    return value.is_float() ? Value(result) : Value(static_cast<int64_t>(result));
  }
  return std::stod(fmt::format("{:.{}f}", number, precision));  // halves as their exact binary value has it
}

Value default_value(Runtime&, V value, A arguments) {
  const Bound bound(arguments, "filter 'default'", {"default_value", "boolean"});
  const bool is_missing = value.is_undefined() || (bound.truth(1, false) && !value.truth());
  if (!is_missing) return value;
  return bound.has(0) ? bound[0] : Value("");
}

/// json.dumps as transformers calls it.
Value json_text(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'tojson'", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii_only = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  if (bound.has(1) && !bound[1].is_none()) {
    style.indented = true;
    style.item_separator.pop_back();  // the line breaks in place of the space
    if (bound[1].is_text()) {
      style.indent = bound.text(1, "");
    } else {
      const int64_t width = std::max<int64_t>(bound.integer(1, 0), 0);
      if (width > 100) throw Failure("filter 'tojson': the indent is {}, want at most 100", width);
      style.indent.assign(static_cast<size_t>(width), ' ');
    }
  }
  if (bound.has(2) && !bound[2].is_none()) {
    const std::vector<Value> separators = bound[2].iterate();
    if (separators.size() != 2)
      throw Failure("filter 'tojson': got {} separators, want two", separators.size());
    style.item_separator = separators[0].text("filter 'tojson'");
    style.key_separator = separators[1].text("filter 'tojson'");
  }
  return to_json(runtime, value, style);
}

}  // namespace

const std::map<std::string, FilterFunction>& value_filters() {
  static const std::map<std::string, FilterFunction> kFilters = {
      {"abs", absolute},
      {"capitalize", changed_text<capitalize>},
      {"d", default_value},
      {"default", default_value},
      {"e", changed_text<escaped>},
      {"escape", changed_text<escaped>},
      {"float", to_float},
      {"indent", indented},
      {"int", to_integer},
      {"lower", changed_text<lower>},
      {"replace", replaced},
      {"round", rounded},
      {"safe", changed_text<as_it_is>},
      {"string", changed_text<as_it_is>},
      {"title", changed_text<title_of_words>},
      {"tojson", json_text},
      {"trim", trim},
      {"upper", changed_text<upper>},
  };
  return kFilters;
}

}  // namespace caltrop::jinja
