// The functions of jinja_builtins.h: what a template can call by name.
#include <ctime>

#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"

namespace caltrop::jinja {
namespace {

constexpr int64_t kLongestRange = 100'000;  // as jinja2's sandbox

Value range(Runtime& runtime, const Arguments& arguments) {
  const Bound bound(arguments, "range", {"start", "stop", "step"}, 1);
  int64_t start = 0, stop = bound[0].integer("range");
  if (bound.has(1)) start = std::exchange(stop, bound.integer(1, 0));
  const int64_t step = bound.integer(2, 1);
  if (step == 0) throw Failure("range: the step is 0");
  const double count = (static_cast<double>(stop) - static_cast<double>(start)) / static_cast<double>(step);
  if (count > static_cast<double>(kLongestRange))
    throw Failure("range: want at most {} numbers", kLongestRange);
  if (count > 0) runtime.charge(static_cast<size_t>(count));
  std::vector<Value> numbers;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    numbers.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::sequence(Sequence::Kind::kRange, std::move(numbers));
}

/// dict(…) and namespace(…): what the one positional argument holds, then the named ones.
std::vector<std::pair<Value, Value>> pairs_of(const Arguments& arguments, const char* who) {
  if (arguments.positional.size() > 1)
    throw Failure("{}: got {} arguments, want one", who, arguments.positional.size());
  std::vector<std::pair<Value, Value>> pairs;
  for (const Value& given : arguments.positional) {
    if (const Dict* dict = given.dict_if()) {
      pairs = dict->items;
      continue;
    }
    for (const Value& item : given.iterate()) {
      const std::vector<Value> pair = item.iterate();
      if (pair.size() != 2) throw Failure("{}: got {} values, want a key and a value", who, pair.size());
      pairs.emplace_back(pair[0], pair[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) pairs.emplace_back(name, value);
  return pairs;
}

Value make_dict(Runtime& runtime, const Arguments& arguments) {
  return Value::dict(runtime, pairs_of(arguments, "dict"));
}

Value make_namespace(Runtime& runtime, const Arguments& arguments) {
  std::map<std::string, Value> attributes;
  for (const auto& [name, value] : pairs_of(arguments, "namespace"))
    attributes[name.text("namespace")] = value;
  return runtime.make_namespace(std::move(attributes));
}

Value raise_exception(Runtime& runtime, const Arguments& arguments) {
  const Bound bound(arguments, "raise_exception", {"message"}, 1);
  throw Failure("the template refuses this conversation: {}", to_text(runtime, bound[0]));
}

Value strftime_now(Runtime& runtime, const Arguments& arguments) {
  const std::string format = Bound(arguments, "strftime_now", {"format"}, 1).text(0, "");
  if (format.empty()) return "";
  const std::tm now = runtime.now();
  char buffer[1024];
  const size_t length = std::strftime(buffer, sizeof buffer, format.c_str(), &now);
  if (length == 0) throw Failure("strftime_now: the format is too long, or gives nothing");
  return std::string(buffer, length);
}

}  // namespace

const std::map<std::string, Value>& functions() {
  static const std::map<std::string, Value> kFunctions = {
      {"dict", Value::function("dict", make_dict)},
      {"namespace", Value::function("namespace", make_namespace)},
      {"raise_exception", Value::function("raise_exception", raise_exception)},
      {"range", Value::function("range", range)},
      {"strftime_now", Value::function("strftime_now", strftime_now)},
  };
  return kFunctions;
}

}  // namespace caltrop::jinja
