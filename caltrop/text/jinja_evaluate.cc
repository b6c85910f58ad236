// The expressions of jinja_runtime.h.
#include "caltrop/base/error.h"
#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"

namespace caltrop::jinja {
namespace {

// What a step of the budget is worth, in bytes of text or values within lists: making costs memory, reading only time.
constexpr size_t kMadeAStep = 16, kReadAStep = 64;

bool compare(Runtime& runtime, const std::string& op, const Value& a, const Value& b) {
  if (op == "==") return equal(runtime, a, b);
  if (op == "!=") return !equal(runtime, a, b);
  if (op == "in") return contains(runtime, b, a);
  if (op == "not in") return !contains(runtime, b, a);
  if (op == "<") return less(runtime, a, b);
  if (op == ">") return less(runtime, b, a);
  // With NaN neither is less, and neither is equal.
  return (op == "<=" ? less(runtime, a, b) : less(runtime, b, a)) || equal(runtime, a, b);
}

}  // namespace

Value Runtime::evaluate(const Expression& expression) {
  const Deeper deeper(*this);
  charge(1);
  line_ = expression.line;
  return std::visit([&](const auto& node) { return value_of(node, expression.line); }, expression.node);
}

Value Runtime::operand(const Expression& expression) {
  Value value = evaluate(expression);
  charge(value.weight() / kReadAStep);
  return value;
}

Value Runtime::made(Value value) {
  // An item takes forty bytes in its list; what lies within it was charged when it was made.
  if (const Sequence* sequence = value.sequence_if()) charge(sequence->items.size());
  if (const Dict* dict = value.dict_if()) charge(dict->items.size());
  if (value.is_text()) charge(value.weight() / kMadeAStep);
  return value;
}

Arguments Runtime::evaluate(const CallArguments& arguments) {
  Arguments values;
  for (const ExpressionPtr& argument : arguments.positional) values.positional.push_back(operand(*argument));
  for (const auto& [name, argument] : arguments.named) values.named.emplace_back(name, operand(*argument));
  return values;
}

Value Runtime::look_up(const std::string& name) const {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    if (const auto found = scope->names.find(name); found != scope->names.end()) return found->second;
    if (scope->pass != nullptr && name == "loop") return loop_value(*scope->pass);
  }
  if (const auto found = functions().find(name); found != functions().end()) return found->second;
  return Undefined{"the undefined variable '" + name + "'"};
}

Value Runtime::loop_value(const Pass& pass) const {
  const auto size = static_cast<int64_t>(pass.items->size());
  const auto index = static_cast<int64_t>(pass.index);
  const auto item = [&](int64_t at) {
    return at < 0 || at >= size ? Value(Undefined{"the item beyond the end of a loop"})
                                : (*pass.items)[static_cast<size_t>(at)];
  };
  auto loop = std::make_shared<Namespace>();
  loop->attributes = {
      {"index", index + 1},
      {"index0", index},
      {"revindex", size - index},
      {"revindex0", size - index - 1},
      {"first", index == 0},
      {"last", index + 1 == size},
      {"length", size},
      {"depth", int64_t{1}},
      {"depth0", int64_t{0}},
      {"previtem", item(index - 1)},
      {"nextitem", item(index + 1)},
      {"cycle", Value::function("loop.cycle",
                                [index](Runtime&, const Arguments& arguments) {
                                  const std::vector<Value>& choices = arguments.positional;
                                  if (choices.empty())
                                    throw Failure("loop.cycle: got no values to choose from");
                                  return choices[static_cast<size_t>(index) % choices.size()];
                                })},
      {"changed", Value::function("loop.changed",
                                  [kept = pass.last_changed](Runtime& runtime, const Arguments& arguments) {
                                    const std::shared_ptr<Value> last = kept.lock();
                                    if (last == nullptr) throw Failure("loop.changed: its loop has ended");
                                    Value now = Value::tuple(arguments.positional);
                                    const bool changed = !equal(runtime, *last, now);
                                    *last = std::move(now);
                                    return Value(changed);
                                  })},
  };
  for (const auto& [name, value] : loop->attributes) loop->extent.add(value);
  return loop;
}

Value Runtime::value_of(const Literal& node, int) { return node.value; }
Value Runtime::value_of(const Name& node, int) { return look_up(node.name); }

Value Runtime::value_of(const Items& node, int) {
  std::vector<Value> items;
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item));
  return made(node.is_tuple ? Value::tuple(std::move(items)) : Value::list(std::move(items)));
}

Value Runtime::value_of(const Pairs& node, int) {
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, value] : node.items) {
    Value name = evaluate(*key);
    items.emplace_back(std::move(name), evaluate(*value));
  }
  return made(Value::dict(*this, std::move(items)));
}

Value Runtime::value_of(const Unary& node, int line) {
  const Value value = operand(*node.operand);
  line_ = line;
  if (node.op == "not") return !value.truth();
  if (!value.is_number()) throw Failure("cannot take {}{}", node.op, value.kind_name());
  if (node.op == "-" && value.is_float()) return -value.as<double>();  // 0 - 0.0 would lose the sign
  return arithmetic(node.op, int64_t{0}, value);
}

Value Runtime::value_of(const Binary& node, int line) {
  if (node.op == "and" || node.op == "or") {
    Value left = evaluate(*node.left);
    return left.truth() == (node.op == "or") ? left : evaluate(*node.right);
  }
  const Value left = operand(*node.left), right = operand(*node.right);
  line_ = line;
  if (node.op != "~") return made(arithmetic(node.op, left, right));
  const std::string before = to_text(*this, left), after = to_text(*this, right);
  check_length(static_cast<double>(before.size()) + static_cast<double>(after.size()));
  return made(before + after);
}

Value Runtime::value_of(const Comparison& node, int line) {
  Value left = operand(*node.first);
  for (const auto& [op, expression] : node.rest) {
    Value right = operand(*expression);
    line_ = line;
    if (!compare(*this, op, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Runtime::value_of(const Conditional& node, int) {
  if (evaluate(*node.condition).truth()) return evaluate(*node.then);
  if (node.otherwise != nullptr) return evaluate(*node.otherwise);
  return Undefined{"the value of an 'if' without 'else' whose condition is false"};
}

Value Runtime::value_of(const Attribute& node, int line) {
  const Value object = operand(*node.object);
  line_ = line;
  return attribute_of(*this, object, node.name);
}

Value Runtime::value_of(const Subscript& node, int line) {
  const Value object = operand(*node.object), index = operand(*node.index);
  line_ = line;
  return item_of(*this, object, index);
}

Value Runtime::value_of(const Slice& node, int line) {
  const auto bound = [&](const ExpressionPtr& expression) {
    return expression == nullptr ? Value(None{}) : evaluate(*expression);
  };
  const Value object = operand(*node.object);
  const Value from = bound(node.from), to = bound(node.to), step = bound(node.step);
  line_ = line;
  return made(slice_of(object, from, to, step));
}

Value Runtime::value_of(const Call& node, int line) { return call(node, line, nullptr); }

Value Runtime::call(const Call& node, int line, const Value* caller) {
  // A call of what is not there says what there is.
  Value callee;
  if (const auto* attribute = std::get_if<Attribute>(&node.callee->node)) {
    const Value object = operand(*attribute->object);
    line_ = line;
    callee = attribute_of(*this, object, attribute->name);
    if (callee.is_undefined() && !method_names(object).empty()) {
      throw unknown_name(where() + ": " + object.kind_name(), "method", attribute->name,
                         method_names(object));
    }
  } else {
    callee = evaluate(*node.callee);
    line_ = line;
    if (const auto* name = std::get_if<Name>(&node.callee->node); name && callee.is_undefined()) {
      throw unknown_name(where(), "function", name->name, names_of(functions()));
    }
  }
  if (callee.callable_if() == nullptr) throw Failure("{} cannot be called", callee.kind_name());
  Arguments arguments = evaluate(node.arguments);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  line_ = line;
  const Deeper deeper(*this);
  return made(callee.callable_if()->call(*this, arguments));
}

Value Runtime::value_of(const Filter& node, int line) {
  const Value object = operand(*node.object);
  const Arguments arguments = evaluate(node.arguments);
  line_ = line;
  return made(apply_filter(node.name, object, arguments));
}

Value Runtime::value_of(const Test& node, int line) {
  const Value object = operand(*node.object);
  const Arguments arguments = evaluate(node.arguments);
  line_ = line;
  return apply_test(node.name, object, arguments);
}

Value Runtime::apply_filter(const std::string& name, const Value& object, const Arguments& arguments) {
  const auto found = filters().find(name);
  if (found == filters().end()) throw unknown_name(where(), "filter", name, names_of(filters()));
  charge(1 + object.weight() / kReadAStep);
  return found->second(*this, object, arguments);
}

bool Runtime::apply_test(const std::string& name, const Value& object, const Arguments& arguments) {
  const auto found = tests().find(name);
  if (found == tests().end()) throw unknown_name(where(), "test", name, names_of(tests()));
  charge(1 + object.weight() / kReadAStep);
  return found->second(*this, object, arguments);
}

}  // namespace caltrop::jinja
