#include <algorithm>
#include <charconv>

#include "caltrop/text/jinja_filters.h"
#include "caltrop/text/jinja_runtime.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

using V = const Value&;
using A = const Arguments&;

/// What "attribute" arguments name: "a.b" is b of a, "0" the first item. Missing parts are undefined.
Value part_of(Runtime& runtime, V object, V attribute) {
  if (!attribute.is_text()) return item_of(runtime, object, attribute);
  Value part = object;
  for (const std::string& name : split(*attribute.text_if(), ".", -1, false)) {
    int64_t index = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_index = error == std::errc() && end == name.data() + name.size();
    part = item_of(runtime, part, is_index ? Value(index) : Value(name));
  }
  return part;
}

Value part_or_whole(Runtime& runtime, V object, V attribute) {
  return attribute.is_undefined() || attribute.is_none() ? object : part_of(runtime, object, attribute);
}

/// What a sort goes by.
Value sort_key(Runtime& runtime, V item, V attribute, bool case_sensitive) {
  Value key = part_or_whole(runtime, item, attribute);
  if (case_sensitive || !key.is_text()) return key;
  runtime.charge(key.weight() / 16);
  return lower(*key.text_if());
}

Value sorted(Runtime& runtime, std::vector<Value> items, V attribute, bool case_sensitive, bool reverse) {
  runtime.charge(items.size());
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items) {
    // In a tuple, so that two missing attributes are not compared: they are equal.
    Value key = Value::tuple({sort_key(runtime, item, attribute, case_sensitive)});
    keyed.emplace_back(std::move(key), std::move(item));
  }
  // As Python: a reversed sort keeps equal items in their order too.
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(runtime, b.first, a.first) : less(runtime, a.first, b.first);
  });
  items.clear();
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return Value::list(std::move(items));
}

Value sort(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'sort'", {"reverse", "case_sensitive", "attribute"});
  return sorted(runtime, value.iterate(), bound[2], bound.truth(1, false), bound.truth(0, false));
}

Value dictsort(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'dictsort'", {"case_sensitive", "by", "reverse"});
  const std::string by = bound.text(1, "key");
  if (by != "key" && by != "value") throw Failure("filter 'dictsort': by is '{}', want 'key' or 'value'", by);
  if (value.dict_if() == nullptr) throw Failure("filter 'dictsort': got {}, want a dict", value.kind_name());
  std::vector<Value> items;
  for (const auto& [key, item] : value.dict_if()->items) items.push_back(Value::tuple({key, item}));
  return sorted(runtime, std::move(items), int64_t{by == "key" ? 0 : 1}, bound.truth(0, false),
                bound.truth(2, false));
}

/// The values that a generator with these arguments is made from.
std::vector<Value> uses_of(V value, A arguments) {
  std::vector<Value> uses = arguments.positional;
  for (const auto& [name, argument] : arguments.named) uses.push_back(argument);
  uses.push_back(value);
  return uses;
}

Value unique(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'unique'", {"case_sensitive", "attribute"});
  return Value::generator(uses_of(value, arguments), [&runtime, value, bound] {
    std::vector<Value> keys, chosen;
    for (const Value& item : value.iterate()) {
      Value key = sort_key(runtime, item, bound[1], bound.truth(0, false));
      runtime.charge(1);
      if (std::any_of(keys.begin(), keys.end(), [&](const Value& seen) { return equal(runtime, seen, key); }))
        continue;
      keys.push_back(std::move(key));
      chosen.push_back(item);
    }
    return chosen;
  });
}

Value extreme(Runtime& runtime, V value, A arguments, const char* who, bool is_least) {
  const Bound bound(arguments, who, {"case_sensitive", "attribute"});
  const std::vector<Value> items = value.iterate();
  if (items.empty()) return Undefined{"the extreme of nothing"};
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    const Value key = sort_key(runtime, items[i], bound[1], bound.truth(0, false));
    const Value best_key = sort_key(runtime, items[best], bound[1], bound.truth(0, false));
    if (is_least ? less(runtime, key, best_key) : less(runtime, best_key, key)) best = i;
  }
  return items[best];
}

Value sum(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'sum'", {"attribute", "start"});
  Value total = bound.has(1) ? bound[1] : Value(int64_t{0});
  for (const Value& item : value.iterate()) {
    total = arithmetic("+", total, part_or_whole(runtime, item, bound[0]));
    runtime.charge(1 + total.weight() / 16);
  }
  return total;
}

Value join_texts(Runtime& runtime, V value, A arguments) {
  const Bound bound(arguments, "filter 'join'", {"d", "attribute"});
  const std::string between = bound.has(0) ? to_text(runtime, bound[0]) : "";
  std::string out;
  bool first = true;
  for (const Value& item : value.iterate()) {
    if (!std::exchange(first, false)) out += between;
    out += to_text(runtime, part_or_whole(runtime, item, bound[1]));
    check_length(static_cast<double>(out.size()));
    runtime.charge(1);
  }
  return out;
}

/// The first positional argument, taken out.
Value take_first(Arguments& arguments, std::string_view who, std::string_view what) {
  if (arguments.positional.empty()) throw Failure("{}: {} is missing", who, what);
  Value first = arguments.positional.front();
  arguments.positional.erase(arguments.positional.begin());
  return first;
}

Value map(Runtime& runtime, V value, A arguments) {
  return Value::generator(uses_of(value, arguments), [&runtime, value, arguments] {
    std::vector<Value> results;
    if (!value.truth()) return results;  // None too
    if (arguments.positional.empty()) {
      const Bound bound(arguments, "filter 'map'", {"attribute", "default"}, 1);
      for (const Value& item : value.iterate()) {
        runtime.charge(1);
        Value part = part_of(runtime, item, bound[0]);
        results.push_back(part.is_undefined() && bound.has(1) ? bound[1] : part);
      }
      return results;
    }
    Arguments rest = arguments;
    const std::string name = take_first(rest, "filter 'map'", "the name of a filter").text("filter 'map'");
    for (const Value& item : value.iterate()) results.push_back(runtime.apply_filter(name, item, rest));
    return results;
  });
}

/// select, reject and, with an attribute as first argument, selectattr and rejectattr.
Value chosen(Runtime& runtime, V value, A arguments, const char* who, bool by_attribute, bool wanted) {
  return Value::generator(uses_of(value, arguments), [&runtime, value, arguments, who, by_attribute, wanted] {
    std::vector<Value> items;
    if (!value.truth()) return items;  // None too
    Arguments rest = arguments;
    Value attribute;
    if (by_attribute) attribute = take_first(rest, who, "the name of an attribute");
    std::string test;
    if (!rest.positional.empty()) test = take_first(rest, who, "").text(who);
    for (const Value& item : value.iterate()) {
      const Value tested = by_attribute ? part_of(runtime, item, attribute) : item;
      runtime.charge(1);
      if ((test.empty() ? tested.truth() : runtime.apply_test(test, tested, rest)) == wanted)
        items.push_back(item);
    }
    return items;
  });
}

Value first(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'first'", {});
  const std::vector<Value> items = value.iterate();
  return items.empty() ? Value(Undefined{"the first of no items"}) : items.front();
}

Value last(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'last'", {});
  if (const Sequence* sequence = value.sequence_if();
      sequence && sequence->kind == Sequence::Kind::kGenerator) {
    throw Failure("filter 'last': a generator has no end; make it a list with the filter 'list'");
  }
  const std::vector<Value> items = value.iterate();
  return items.empty() ? Value(Undefined{"the last of no items"}) : items.back();
}

Value length(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'length'", {});
  return value.length();
}

Value list(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'list'", {});
  return Value::list(value.iterate());
}

Value items(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'items'", {});
  return Value::generator({value}, [value] {
    std::vector<Value> pairs;
    if (value.is_undefined()) return pairs;
    if (value.dict_if() == nullptr) throw Failure("filter 'items': got {}, want a dict", value.kind_name());
    for (const auto& [key, item] : value.dict_if()->items) pairs.push_back(Value::tuple({key, item}));
    return pairs;
  });
}

Value reversed(Runtime&, V value, A arguments) {
  const Bound none(arguments, "filter 'reverse'", {});
  if (value.is_text()) return slice_of(value, None{}, None{}, int64_t{-1});
  std::vector<Value> all = value.iterate();
  std::reverse(all.begin(), all.end());
  const Sequence* sequence = value.sequence_if();
  if (sequence && sequence->kind == Sequence::Kind::kGenerator) return Value::list(std::move(all));
  return Value::generator(all, [all] { return all; });
}

}  // namespace

const std::map<std::string, FilterFunction>& sequence_filters() {
  static const std::map<std::string, FilterFunction> kFilters = {
      {"count", length},
      {"dictsort", dictsort},
      {"first", first},
      {"items", items},
      {"join", join_texts},
      {"last", last},
      {"length", length},
      {"list", list},
      {"map", map},
      {"max", [](Runtime& r, V v, A a) { return extreme(r, v, a, "filter 'max'", false); }},
      {"min", [](Runtime& r, V v, A a) { return extreme(r, v, a, "filter 'min'", true); }},
      {"reject", [](Runtime& r, V v, A a) { return chosen(r, v, a, "filter 'reject'", false, false); }},
      {"rejectattr",
       [](Runtime& r, V v, A a) { return chosen(r, v, a, "filter 'rejectattr'", true, false); }},
      {"reverse", reversed},
      {"select", [](Runtime& r, V v, A a) { return chosen(r, v, a, "filter 'select'", false, true); }},
      {"selectattr", [](Runtime& r, V v, A a) { return chosen(r, v, a, "filter 'selectattr'", true, true); }},
      {"sort", sort},
      {"sum", sum},
      {"unique", unique},
  };
  return kFilters;
}

const std::map<std::string, FilterFunction>& filters() {
  static const std::map<std::string, FilterFunction> kAll = [] {
    std::map<std::string, FilterFunction> all = value_filters();
    all.insert(sequence_filters().begin(), sequence_filters().end());
    return all;
  }();
  return kAll;
}

}  // namespace caltrop::jinja
