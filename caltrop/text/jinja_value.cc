#include "caltrop/text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "caltrop/text/jinja_runtime.h"
#include "caltrop/text/python_text.h"

namespace caltrop::jinja {
namespace {

constexpr int kDeepest = 100;
constexpr size_t kHeaviest = 1'000'000;
constexpr size_t kMostOddKeys = 1'000;  // keys that are not text are looked up one by one

constexpr size_t kReadAStep = 64;  // bytes of text

bool can_be_key(const Value& value) {
  if (const Sequence* sequence = value.sequence_if()) {
    return sequence->kind == Sequence::Kind::kTuple &&
           std::all_of(sequence->items.begin(), sequence->items.end(), can_be_key);
  }
  return value.dict_if() == nullptr;
}

}  // namespace

void Extent::add(const Value& held) {
  const Extent* within = held.extent_if();
  if (within != nullptr) depth = std::max(depth, within->depth + 1);
  weight += within == nullptr ? 1 : within->weight;
  if (depth > kDeepest) throw Failure("values are nested more than {} deep", kDeepest);
  if (weight > kHeaviest) throw Failure("a list or dict holds more than {} values", kHeaviest);
}

const Value* Dict::find(Runtime& runtime, const Value& key) const {
  for (const auto& [name, value] : items) {
    if (equal(runtime, name, key)) return &value;
  }
  return nullptr;
}

Value Value::sequence(Sequence::Kind kind, std::vector<Value> items) {
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  sequence->items = std::move(items);
  for (const Value& item : sequence->items) sequence->extent.add(item);
  Value value;
  value.data_ = std::move(sequence);
  return value;
}

Value Value::generator(const std::vector<Value>& uses, std::function<std::vector<Value>()> make) {
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = Sequence::Kind::kGenerator;
  sequence->make = std::move(make);
  for (const Value& used : uses) sequence->extent.add(used);
  Value value;
  value.data_ = std::move(sequence);
  return value;
}

Value Value::dict(Runtime& runtime, std::vector<std::pair<Value, Value>> items) {
  auto dict = std::make_shared<Dict>();
  std::map<std::string, size_t> places;  // of text keys, which nearly all keys are
  size_t odd_keys = 0;
  for (auto& [key, content] : items) {
    if (!can_be_key(key)) throw Failure("{} cannot be the key of a dict", key.kind_name());
    dict->extent.add(key);
    dict->extent.add(content);
    Value* there = nullptr;
    if (const std::string* text = key.text_if()) {
      const auto [place, is_new] = places.try_emplace(*text, dict->items.size());
      if (!is_new) there = &dict->items[place->second].second;
    } else {
      if (++odd_keys > kMostOddKeys)
        throw Failure("a dict has more than {} keys that are not strings", kMostOddKeys);
      there = const_cast<Value*>(dict->find(runtime, key));
    }
    if (there != nullptr) {
      *there = std::move(content);
    } else {
      dict->items.emplace_back(std::move(key), std::move(content));
    }
  }
  Value value;
  value.data_ = std::shared_ptr<const Dict>(std::move(dict));
  return value;
}

Value Value::function(std::string name, std::function<Value(Runtime&, const Arguments&)> call,
                      const std::vector<Value>& uses) {
  Extent extent;
  for (const Value& used : uses) extent.add(used);
  return std::make_shared<const Callable>(Callable{std::move(name), std::move(call), extent});
}

Value Value::from_json(Runtime& runtime, const Json& json) {
  if (json.is_null()) return None{};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    throw Failure("the integer {} is too large", json.get<uint64_t>());
  }
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json) items.push_back(from_json(runtime, item));
    return list(std::move(items));
  }
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, value] : json.items()) items.emplace_back(key, from_json(runtime, value));
  return dict(runtime, std::move(items));
}

const std::string& Value::text(std::string_view who) const {
  const std::string* text = text_if();
  if (text == nullptr) throw Failure("{}: got {}, want a string", who, kind_name());
  return *text;
}

int64_t Value::integer(std::string_view who) const {
  if (is_bool()) return as<bool>() ? 1 : 0;
  if (!is_int()) throw Failure("{}: got {}, want an integer", who, kind_name());
  return as<int64_t>();
}

double Value::number(std::string_view who) const {
  if (is_float()) return as<double>();
  if (!is_number()) throw Failure("{}: got {}, want a number", who, kind_name());
  return static_cast<double>(integer(who));
}

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (is_bool()) return as<bool>();
  if (is_int()) return as<int64_t>() != 0;
  if (is_float()) return as<double>() != 0;
  if (const std::string* text = text_if()) return !text->empty();
  if (const Sequence* sequence = sequence_if()) {
    return sequence->kind == Sequence::Kind::kGenerator || !sequence->items.empty();
  }
  if (const Dict* dict = dict_if()) return !dict->items.empty();
  return true;
}

std::vector<Value> Value::iterate() const {
  if (is_undefined()) return {};
  std::vector<Value> items;
  if (const std::string* text = text_if()) {
    if (static_cast<size_t>(count_characters(*text)) > kHeaviest)
      throw Failure("a text of more than {} characters cannot be iterated over", kHeaviest);
    for (std::string_view character : characters(*text)) items.emplace_back(std::string(character));
    return items;
  }
  if (Sequence* sequence = pointer<Sequence>()) {
    if (sequence->kind != Sequence::Kind::kGenerator) return sequence->items;
    const auto make = std::exchange(sequence->make, nullptr);
    return make != nullptr ? make() : std::vector<Value>();
  }
  if (const Dict* dict = dict_if()) {
    for (const auto& [key, value] : dict->items) items.push_back(key);
    return items;
  }
  throw Failure("{} cannot be iterated over", kind_name());
}

int64_t Value::length() const {
  if (is_undefined()) return 0;
  if (const std::string* text = text_if()) return count_characters(*text);
  if (const Sequence* sequence = sequence_if(); sequence && sequence->kind != Sequence::Kind::kGenerator) {
    return static_cast<int64_t>(sequence->items.size());
  }
  if (const Dict* dict = dict_if()) return static_cast<int64_t>(dict->items.size());
  throw Failure("{} has no length", kind_name());
}

std::string Value::kind_name() const {
  if (const Undefined* undefined = undefined_if()) return undefined->what;
  if (is_none()) return "None";
  if (is_bool()) return as<bool>() ? "True" : "False";
  if (is_int()) return "an integer";
  if (is_float()) return "a float";
  if (is_text()) return "a string";
  if (dict_if() != nullptr) return "a dict";
  if (namespace_if() != nullptr) return "a namespace";
  if (const Callable* callable = callable_if()) return "the function '" + callable->name + "'";
  switch (sequence_if()->kind) {
    case Sequence::Kind::kList:
      return "a list";
    case Sequence::Kind::kTuple:
      return "a tuple";
    case Sequence::Kind::kRange:
      return "a range";
    case Sequence::Kind::kGenerator:
      return "a generator";
    case Sequence::Kind::kDictKeys:
      return "the keys of a dict";
    case Sequence::Kind::kDictValues:
      return "the values of a dict";
    case Sequence::Kind::kDictItems:
      return "the items of a dict";
  }
  return "a value";
}

const Extent* Value::extent_if() const {
  if (const Sequence* sequence = sequence_if()) return &sequence->extent;
  if (const Dict* dict = dict_if()) return &dict->extent;
  if (const Namespace* space = namespace_if()) return &space->extent;
  if (const Callable* callable = callable_if()) return &callable->extent;
  return nullptr;
}

size_t Value::weight() const {
  if (const std::string* text = text_if()) return text->size();
  const Extent* extent = extent_if();
  return extent == nullptr ? 1 : extent->weight;
}

bool Value::is(const Value& other) const {
  return extent_if() != nullptr && extent_if() == other.extent_if();
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.number("==") == b.number("==");
    return a.integer("==") == b.integer("==");
  }
  if (a.data_.index() != b.data_.index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (const std::string *left = a.text_if(), *right = b.text_if(); left != nullptr) {
    if (left->size() != right->size()) return false;
    runtime.charge(left->size() / kReadAStep);
    return *left == *right;
  }
  const auto equal_items = [&](const Value& x, const Value& y) { return equal(runtime, x, y); };
  if (const Sequence* left = a.sequence_if()) {
    const Sequence* right = b.sequence_if();
    if (left == right) return true;
    if (left->kind != right->kind || left->kind == Sequence::Kind::kGenerator) return false;
    return std::equal(left->items.begin(), left->items.end(), right->items.begin(), right->items.end(),
                      equal_items);
  }
  if (const Dict* left = a.dict_if()) {
    const Dict* right = b.dict_if();
    return left->items.size() == right->items.size() &&
           std::all_of(left->items.begin(), left->items.end(), [&](const auto& item) {
             const Value* other = right->find(runtime, item.first);
             return other != nullptr && equal_items(item.second, *other);
           });
  }
  return a.is(b);
}

bool less(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.number("<") < b.number("<");
    return a.integer("<") < b.integer("<");
  }
  if (a.is_text() && b.is_text()) {
    runtime.charge(std::min(a.weight(), b.weight()) / kReadAStep);
    return *a.text_if() < *b.text_if();  // UTF-8 keeps the order of code points
  }
  const Sequence *left = a.sequence_if(), *right = b.sequence_if();
  if (left && right && left->kind == right->kind &&
      (left->kind == Sequence::Kind::kList || left->kind == Sequence::Kind::kTuple)) {
    for (size_t i = 0; i < std::min(left->items.size(), right->items.size()); ++i) {
      if (!equal(runtime, left->items[i], right->items[i]))
        return less(runtime, left->items[i], right->items[i]);
    }
    return left->items.size() < right->items.size();
  }
  throw Failure("cannot compare {} with {}", a.kind_name(), b.kind_name());
}

bool contains(Runtime& runtime, const Value& haystack, const Value& needle) {
  if (const std::string* text = haystack.text_if()) {
    const std::string& sought = needle.text("'in' a string");
    runtime.charge_search(*text, sought);
    return text->find(sought) != std::string::npos;
  }
  if (const Dict* dict = haystack.dict_if()) {
    if (!can_be_key(needle)) throw Failure("{} cannot be the key of a dict", needle.kind_name());
    return dict->find(runtime, needle) != nullptr;
  }
  const std::vector<Value> items = haystack.iterate();
  runtime.charge(items.size() / 16);  // they were copied
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& item) { return equal(runtime, item, needle); });
}

}  // namespace caltrop::jinja
