// Operators, access to parts, and the binding of arguments, of jinja_builtins.h.
#include <algorithm>
#include <cmath>

#include "caltrop/base/error.h"
#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

constexpr size_t kLongestText = size_t{16} << 20;

[[noreturn]] void cannot(const std::string& op, const Value& a, const Value& b) {
  throw Failure("cannot compute {} {} {}", a.kind_name(), op, b.kind_name());
}

/// `result` once it is known not to have overflowed; a reference, so that it is read last.
Value checked(bool overflow, const int64_t& result) {
  if (overflow) throw Failure("the result is too large for an integer of 64 bits");
  return result;
}

Value integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (base == 0 || base == 1) return exponent == 0 ? int64_t{1} : base;
  if (base == -1) return exponent % 2 == 0 ? int64_t{1} : int64_t{-1};
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return checked(true, 0);
  }
  return result;
}

Value integer_arithmetic(const std::string& op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+") return checked(__builtin_add_overflow(a, b, &result), result);
  if (op == "-") return checked(__builtin_sub_overflow(a, b, &result), result);
  if (op == "*") return checked(__builtin_mul_overflow(a, b, &result), result);
  if (op == "**") {
    if (b >= 0) return integer_power(a, b);
    if (a == 0) throw Failure("division by zero");
    return std::pow(static_cast<double>(a), static_cast<double>(b));
  }
  if (b == 0) throw Failure("division by zero");
  if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1)
    return op == "//" ? checked(__builtin_sub_overflow(int64_t{0}, a, &result), result) : int64_t{0};
  // Python rounds quotients down, C++ towards zero.
  const bool is_down = a % b != 0 && (a < 0) != (b < 0);
  if (op == "//") return a / b - (is_down ? 1 : 0);
  return a % b + (is_down ? b : 0);
}

Value float_arithmetic(const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) throw Failure("division by zero");
  if (op == "/") return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return rest == 0 ? std::copysign(0.0, b) : rest;
  return std::floor((a - rest) / b + 0.5);
}

Value repeated(const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (const std::string* text = value.text_if()) {
    check_length(static_cast<double>(text->size()) * static_cast<double>(times));
    std::string out;
    for (int64_t i = 0; i < times && !text->empty(); ++i) out += *text;
    return out;
  }
  const Sequence& sequence = *value.sequence_if();
  if (static_cast<double>(sequence.extent.weight) * static_cast<double>(times) > 1e6) {
    throw Failure("a list repeated {} times is too large", times);
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < times && !sequence.items.empty(); ++i) {
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return Value::sequence(sequence.kind, std::move(items));
}

bool is_list_or_tuple(const Value& value) {
  const Sequence* sequence = value.sequence_if();
  return sequence && (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple);
}

bool is_repeatable(const Value& value) { return value.is_text() || is_list_or_tuple(value); }
bool is_whole(const Value& value) { return value.is_int() || value.is_bool(); }

/// The item at `index`, counted from the end if negative, of `size`; nothing if it is outside.
std::optional<size_t> place_of(int64_t index, size_t size) {
  if (index < 0) index += static_cast<int64_t>(size);
  if (index < 0 || index >= static_cast<int64_t>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

/// The places that a slice takes from `size` items, in order (CPython: PySlice_AdjustIndices).
std::vector<size_t> places_of(int64_t size, const Value& from, const Value& to, const Value& step) {
  const int64_t stride = step.is_none() ? 1 : step.integer("the step of a slice");
  if (stride == 0) throw Failure("the step of a slice is 0");
  const auto bound = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    int64_t place = value.integer("the bound of a slice");
    if (place < 0) place = std::max(place, -size - 1) + size;
    return stride > 0 ? std::clamp<int64_t>(place, 0, size) : std::clamp<int64_t>(place, -1, size - 1);
  };
  const int64_t first = bound(from, stride > 0 ? 0 : size - 1), last = bound(to, stride > 0 ? size : -1);
  std::vector<size_t> places;
  for (int64_t i = first; stride > 0 ? i < last : i > last;) {
    places.push_back(static_cast<size_t>(i));
    if (std::abs(static_cast<double>(stride)) > static_cast<double>(size)) break;
    i += stride;
  }
  return places;
}

}  // namespace

void check_length(double bytes) {
  if (bytes > static_cast<double>(kLongestText))
    throw Failure("a text is longer than {} MiB", kLongestText >> 20);
}

Value arithmetic(const std::string& op, const Value& a, const Value& b) {
  if (is_whole(a) && is_whole(b)) return integer_arithmetic(op, a.integer(op), b.integer(op));
  if (a.is_number() && b.is_number()) return float_arithmetic(op, a.number(op), b.number(op));
  if (op == "+" && a.is_text() && b.is_text()) {
    check_length(static_cast<double>(a.weight()) + static_cast<double>(b.weight()));
    return *a.text_if() + *b.text_if();
  }
  if (op == "+" && is_list_or_tuple(a) && is_list_or_tuple(b) &&
      a.sequence_if()->kind == b.sequence_if()->kind) {
    std::vector<Value> items = a.sequence_if()->items;
    items.insert(items.end(), b.sequence_if()->items.begin(), b.sequence_if()->items.end());
    return Value::sequence(a.sequence_if()->kind, std::move(items));
  }
  if (op == "*" && is_repeatable(a) && is_whole(b)) return repeated(a, b.integer(op));
  if (op == "*" && is_whole(a) && is_repeatable(b)) return repeated(b, a.integer(op));
  if (op == "%" && a.is_text()) throw Failure("formatting with '%' is not supported; join strings with '~'");
  cannot(op, a, b);
}

Value attribute_of(Runtime& runtime, const Value& object, const std::string& name) {
  if (object.is_undefined()) throw Failure("cannot take '{}' of {}", name, object.kind_name());
  if (const Namespace* space = object.namespace_if()) {
    const auto found = space->attributes.find(name);
    if (found != space->attributes.end()) return found->second;
  } else if (Value method = find_method(object, name); !method.is_undefined()) {
    return method;
  }
  if (const Dict* dict = object.dict_if()) {
    if (const Value* value = dict->find(runtime, name)) return *value;
  }
  return Undefined{fmt::format("the missing '{}' of {}", name, object.kind_name())};
}

Value item_of(Runtime& runtime, const Value& object, const Value& index) {
  if (object.is_undefined()) throw Failure("cannot take an item of {}", object.kind_name());
  if (const Dict* dict = object.dict_if()) {
    if (const Value* value = dict->find(runtime, index)) return *value;
  }
  if (const std::string* name = index.text_if()) return attribute_of(runtime, object, *name);
  if (is_whole(index)) {
    if (const std::string* text = object.text_if()) {
      const std::vector<std::string_view> all = characters(*text);
      if (const auto place = place_of(index.integer(""), all.size())) return std::string(all[*place]);
    }
    if (const Sequence* sequence = object.sequence_if();
        sequence && (is_list_or_tuple(object) || sequence->kind == Sequence::Kind::kRange)) {
      if (const auto place = place_of(index.integer(""), sequence->items.size()))
        return sequence->items[*place];
    }
  }
  return Undefined{fmt::format("the missing item {} of {}",
                               is_whole(index) ? to_text(runtime, index) : index.kind_name(),
                               object.kind_name())};
}

Value slice_of(const Value& object, const Value& from, const Value& to, const Value& step) {
  if (const std::string* text = object.text_if()) {
    const std::vector<std::string_view> all = characters(*text);
    std::string out;
    for (size_t place : places_of(static_cast<int64_t>(all.size()), from, to, step)) out += all[place];
    return out;
  }
  if (const Sequence* sequence = object.sequence_if();
      sequence && (is_list_or_tuple(object) || sequence->kind == Sequence::Kind::kRange)) {
    std::vector<Value> items;
    for (size_t place : places_of(static_cast<int64_t>(sequence->items.size()), from, to, step)) {
      items.push_back(sequence->items[place]);
    }
    return Value::sequence(sequence->kind, std::move(items));
  }
  throw Failure("cannot take a slice of {}", object.kind_name());
}

Bound::Bound(const Arguments& arguments, std::string_view who, const std::vector<std::string>& parameters,
             size_t required)
    : who_(who), values_(parameters.size()) {
  if (arguments.positional.size() > parameters.size()) {
    throw Failure("{}: got {} arguments, want at most {}", who, arguments.positional.size(),
                  parameters.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto place =
        static_cast<size_t>(std::find(parameters.begin(), parameters.end(), name) - parameters.begin());
    if (place == parameters.size()) {
      throw Failure("{}", unknown_name(who, "argument", name, parameters).what());
    }
    if (values_[place].has_value()) throw Failure("{}: the argument '{}' is given twice", who, name);
    values_[place] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!values_[i].has_value()) throw Failure("{}: the argument '{}' is missing", who, parameters[i]);
  }
}

std::string Bound::text(size_t place, std::string fallback) const {
  return has(place) ? values_[place]->text(who_) : std::move(fallback);
}

int64_t Bound::integer(size_t place, int64_t fallback) const {
  return has(place) ? values_[place]->integer(who_) : fallback;
}

}  // namespace caltrop::jinja
