// The statements of jinja_runtime.h.
#include <algorithm>

#include "caltrop/base/error.h"
#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_runtime.h"

namespace caltrop::jinja {
namespace {

constexpr size_t kMostSteps = 10'000'000;  // a few seconds
constexpr size_t kSearchedAStep = 4096;

/// Puts a value back at the end of a block.
template <typename T>
class Restored {
 public:
  Restored(T& place, T value) : place_(place), before_(std::exchange(place, value)) {}
  ~Restored() { place_ = before_; }
  Restored(const Restored&) = delete;

 private:
  T& place_;
  T before_;
};

}  // namespace

Runtime::~Runtime() {
  for (const auto& scope : closures_) {
    scope->names.clear();
    scope->pass.reset();
  }
  for (const auto& space : namespaces_) space->attributes.clear();
}

JinjaOutput Runtime::run(const Body& body, const Json& variables) {
  scope_ = std::make_shared<Scope>();
  for (const auto& [name, value] : variables.items()) scope_->names[name] = Value::from_json(*this, value);
  execute(body);
  return std::move(output_);
}

std::string Runtime::where() const { return fmt::format("{}: line {}", name_, line_); }

void Runtime::charge(size_t steps) {
  steps_ += steps;
  if (steps_ > kMostSteps) throw Failure("the template does not come to an end ({} steps)", kMostSteps);
}

void Runtime::charge_search(const std::string& text, const std::string& sought) {
  charge(text.size() / kSearchedAStep * (sought.size() + 1));
}

Value Runtime::make_namespace(std::map<std::string, Value> attributes) {
  auto space = std::make_shared<Namespace>(Namespace{std::move(attributes), {}});
  namespaces_.push_back(space);
  return space;
}

Runtime::Flow Runtime::execute(const Body& body) {
  const Deeper deeper(*this);
  for (const Statement& statement : body) {
    charge(1);
    line_ = statement.line;
    const Flow flow = std::visit([&](const auto& node) { return run_node(node); }, statement.node);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Runtime::Flow Runtime::execute_scoped(const Body& body) {
  const Entered entered(*this);
  return execute(body);
}

void Runtime::write(const std::string& text) {
  check_length(static_cast<double>(out_->size()) + static_cast<double>(text.size()));
  charge(text.size() / 16);
  *out_ += text;
}

std::string Runtime::captured(const Body& body) {
  std::string text;
  const Restored<std::string*> restored(out_, &text);
  execute_scoped(body);
  return text;
}

Runtime::Flow Runtime::run_node(const Text& node) {
  write(node.text);
  return Flow::kOn;
}

Runtime::Flow Runtime::run_node(const Print& node) {
  const int line = line_;
  const Value value = operand(*node.value);
  line_ = line;
  write(to_text(*this, value));
  return Flow::kOn;
}

Runtime::Flow Runtime::run_node(const If& node) {
  for (const auto& [condition, body] : node.branches) {
    if (evaluate(*condition).truth()) return execute(body);
  }
  return execute(node.otherwise);
}

Runtime::Flow Runtime::run_node(const For& node) {
  const int line = line_;
  const Value over = operand(*node.over);
  line_ = line;
  auto items = std::make_shared<std::vector<Value>>(over.iterate());
  if (node.condition != nullptr) {
    std::erase_if(*items, [&](const Value& item) {
      const Entered entered(*this);
      assign(node.target, item);
      return !evaluate(*node.condition).truth();
    });
  }
  if (items->empty()) return execute_scoped(node.otherwise);
  const auto last_changed = std::make_shared<Value>();
  for (size_t i = 0; i < items->size(); ++i) {
    const Entered entered(*this);
    scope_->pass = std::make_unique<Pass>(Pass{items, i, last_changed});
    line_ = line;
    assign(node.target, (*items)[i]);
    if (execute(node.body) == Flow::kBreak) break;
  }
  return Flow::kOn;
}

void Runtime::assign(const Target& target, const Value& value) {
  charge(1);
  if (!target.several.empty()) {
    const std::vector<Value> values = value.iterate();
    if (values.size() != target.several.size()) {
      throw Failure("got {} values, want {} to assign to", values.size(), target.several.size());
    }
    for (size_t i = 0; i < values.size(); ++i) assign(target.several[i], values[i]);
  } else if (target.attribute.empty()) {
    scope_->names[target.name] = value;
  } else {
    Namespace* space = look_up(target.name).namespace_if();
    if (space == nullptr || target.name == "loop") {
      throw Failure("'{0}.{1}' cannot be assigned to: '{0}' is not a namespace", target.name,
                    target.attribute);
    }
    if (target.attribute.starts_with("_")) {
      throw Failure("'{}' cannot be the name of an attribute: it starts with '_'", target.attribute);
    }
    space->attributes[target.attribute] = value;
  }
}

Runtime::Flow Runtime::run_node(const Set& node) {
  assign(node.target, evaluate(*node.value));
  return Flow::kOn;
}

Value Runtime::filtered(std::string text, const std::vector<Filter>& chain) {
  Value value = std::move(text);
  for (const Filter& filter : chain)
    value = made(apply_filter(filter.name, value, evaluate(filter.arguments)));
  return value;
}

Runtime::Flow Runtime::run_node(const SetBlock& node) {
  assign(node.target, filtered(captured(node.body), node.filters));
  return Flow::kOn;
}

Runtime::Flow Runtime::run_node(const FilterBlock& node) {
  write(to_text(*this, filtered(captured(node.body), node.filters)));
  return Flow::kOn;
}

Runtime::Flow Runtime::run_node(const With& node) {
  std::vector<Value> values;  // all are of the scope outside
  for (const auto& [target, value] : node.values) values.push_back(evaluate(*value));
  const Entered entered(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(node.values[i].first, values[i]);
  return execute(node.body);
}

Runtime::Flow Runtime::run_node(const Generation& node) {
  if (out_ != &output_.text) {
    throw Failure("'generation' within a macro, call, set or filter block has no place in the output");
  }
  const size_t begin = out_->size();
  execute_scoped(node.body);
  output_.generation.push_back({begin, out_->size()});
  return Flow::kOn;
}

Runtime::Flow Runtime::run_node(const std::shared_ptr<const Macro>& node) {
  scope_->names[node->name] = macro_value(node);
  return Flow::kOn;
}

Value Runtime::macro_value(const std::shared_ptr<const Macro>& macro) {
  if (closures_.empty() || closures_.back() != scope_) closures_.push_back(scope_);
  return Value::function(macro->name.empty() ? "caller" : macro->name,
                         [macro, closure = scope_](Runtime& runtime, const Arguments& arguments) {
                           return runtime.call_macro(*macro, closure, arguments);
                         });
}

Value Runtime::call_macro(const Macro& macro, const std::shared_ptr<Scope>& closure,
                          const Arguments& arguments) {
  std::vector<std::string> names;
  for (const auto& [name, fallback] : macro.parameters) names.push_back(name);
  Arguments given = arguments;
  const Entered entered(*this, closure);
  const bool names_caller = std::find(names.begin(), names.end(), "caller") != names.end();
  std::erase_if(given.named, [&](const auto& argument) {
    if (names_caller || argument.first != "caller") return false;
    scope_->names["caller"] = argument.second;
    return true;
  });
  const std::string who = macro.name.empty() ? "caller" : fmt::format("macro '{}'", macro.name);
  const Bound bound(given, who, names);
  for (size_t i = 0; i < names.size(); ++i) {
    const ExpressionPtr& fallback = macro.parameters[i].second;
    scope_->names[names[i]] = !bound.has(i) && fallback != nullptr ? evaluate(*fallback) : bound[i];
  }
  std::string text;
  const Restored<std::string*> restored(out_, &text);
  execute(macro.body);
  return text;
}

Runtime::Flow Runtime::run_node(const CallBlock& node) {
  const int line = line_;
  const Value caller = macro_value(node.caller);
  write(to_text(*this, call(std::get<Call>(node.call->node), line, &caller)));
  return Flow::kOn;
}

}  // namespace caltrop::jinja
