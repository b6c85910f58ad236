// The tests of jinja_builtins.h: what may follow "is".
#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"

namespace caltrop::jinja {
namespace {

Value one_argument(const Arguments& arguments, const char* who) {
  return Bound(arguments, who, {"other"}, 1)[0];
}

template <bool (*compare)(Runtime&, const Value&, const Value&)>
bool with_other(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return compare(runtime, value, one_argument(arguments, "a comparing test"));
}

bool not_equal(Runtime& r, const Value& a, const Value& b) { return !equal(r, a, b); }
bool greater(Runtime& r, const Value& a, const Value& b) { return less(r, b, a); }
bool at_most(Runtime& r, const Value& a, const Value& b) { return less(r, a, b) || equal(r, a, b); }
bool at_least(Runtime& r, const Value& a, const Value& b) { return less(r, b, a) || equal(r, a, b); }
bool within(Runtime& r, const Value& needle, const Value& haystack) { return contains(r, haystack, needle); }

/// Identity for what Python compares by identity; otherwise of one kind and equal.
bool same(Runtime& runtime, const Value& a, const Value& b) {
  if (a.extent_if() != nullptr) return a.is(b);
  const bool alike = a.is_bool() == b.is_bool() && a.is_int() == b.is_int();
  return !a.is_undefined() && alike && equal(runtime, a, b);
}

bool is_multiple(Runtime& runtime, const Value& value, const Value& of) {
  return equal(runtime, arithmetic("%", value, of), int64_t{0});
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_text() || value.sequence_if() || value.dict_if();
}

/// Has a length and items.
bool is_sequence(const Value& value) {
  if (const Sequence* sequence = value.sequence_if()) {
    return sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple ||
           sequence->kind == Sequence::Kind::kRange;
  }
  return is_iterable(value);
}

bool text_is(Runtime& runtime, const Value& value, const char* method) {
  const Value text = to_text(runtime, value);
  return find_method(text, method).callable_if()->call(runtime, {}).truth();
}

}  // namespace

const std::map<std::string, TestFunction>& tests() {
  using V = const Value&;
  using A = const Arguments&;
  static const std::map<std::string, TestFunction> kTests = {
      {"!=", with_other<not_equal>},
      {"<", with_other<less>},
      {"<=", with_other<at_most>},
      {"==", with_other<equal>},
      {">", with_other<greater>},
      {">=", with_other<at_least>},
      {"boolean", [](Runtime&, V v, A) { return v.is_bool(); }},
      {"callable", [](Runtime&, V v, A) { return v.callable_if() != nullptr; }},
      {"defined", [](Runtime&, V v, A) { return !v.is_undefined(); }},
      {"divisibleby", with_other<is_multiple>},
      {"eq", with_other<equal>},
      {"equalto", with_other<equal>},
      {"even", [](Runtime& r, V v, A) { return is_multiple(r, v, int64_t{2}); }},
      {"false", [](Runtime&, V v, A) { return v.is_bool() && !v.truth(); }},
      {"filter", [](Runtime&, V v, A) { return v.is_text() && filters().contains(*v.text_if()); }},
      {"float", [](Runtime&, V v, A) { return v.is_float(); }},
      {"ge", with_other<at_least>},
      {"greaterthan", with_other<greater>},
      {"gt", with_other<greater>},
      {"in", with_other<within>},
      {"integer", [](Runtime&, V v, A) { return v.is_int(); }},
      {"iterable", [](Runtime&, V v, A) { return is_iterable(v); }},
      {"le", with_other<at_most>},
      {"lessthan", with_other<less>},
      {"lower", [](Runtime& runtime, V v, A) { return text_is(runtime, v, "islower"); }},
      {"lt", with_other<less>},
      {"mapping", [](Runtime&, V v, A) { return v.dict_if() != nullptr; }},
      {"ne", with_other<not_equal>},
      {"none", [](Runtime&, V v, A) { return v.is_none(); }},
      {"number", [](Runtime&, V v, A) { return v.is_number(); }},
      {"odd", [](Runtime& r, V v, A) { return equal(r, arithmetic("%", v, int64_t{2}), int64_t{1}); }},
      {"sameas", with_other<same>},
      {"sequence", [](Runtime&, V v, A) { return is_sequence(v); }},
      {"string", [](Runtime&, V v, A) { return v.is_text(); }},
      {"test", [](Runtime&, V v, A) { return v.is_text() && tests().contains(*v.text_if()); }},
      {"true", [](Runtime&, V v, A) { return v.is_bool() && v.truth(); }},
      {"undefined", [](Runtime&, V v, A) { return v.is_undefined(); }},
      {"upper", [](Runtime& runtime, V v, A) { return text_is(runtime, v, "isupper"); }},
  };
  return kTests;
}

}  // namespace caltrop::jinja
