// Runs a parsed template: a walk over its tree, with scopes for names and a buffer for what it writes.
//
// A template comes from a model folder, that is from a stranger. It can do nothing but compute, and not without end:
// every operation is charged to one budget of steps by the size of what it goes through, texts end at 16 MiB, and calls
// within calls and values within values (jinja_value.h) at a depth that the stack bears.
#pragma once

#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/text/jinja.h"
#include "caltrop/text/jinja_ast.h"
#include "caltrop/text/jinja_parser.h"
#include "caltrop/text/span.h"

namespace caltrop::jinja {

/// A pass of a loop, from which `loop` is made when a template asks for it.
struct Pass {
  std::shared_ptr<const std::vector<Value>> items;
  size_t index;
  // Of loop.changed(), shared by all passes. Only the loop itself keeps it: what it holds may hold `loop`.
  std::weak_ptr<Value> last_changed;
};

struct Scope {
  std::shared_ptr<Scope> parent;
  std::map<std::string, Value> names;
  std::unique_ptr<Pass> pass;
};

class Runtime {
 public:
  Runtime(const std::string& name, const JinjaClock& clock) : name_(name), clock_(clock) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;

  /// REQUIRES that it is called once.
  JinjaOutput run(const Body& body, const Json& variables);
  /// "<template>: line N" of what was run last.
  std::string where() const;

  // What built-in functions need.
  void charge(size_t steps);
  /// For work that is the product of two sizes at worst, as a search is.
  void charge_search(const std::string& text, const std::string& sought);
  Value apply_filter(const std::string& name, const Value& object, const Arguments& arguments);
  bool apply_test(const std::string& name, const Value& object, const Arguments& arguments);
  Value make_namespace(std::map<std::string, Value> attributes);
  std::tm now() const { return clock_(); }

 private:
  enum class Flow { kOn, kBreak, kContinue };
  class Deeper;   // exists while something nested runs
  class Entered;  // exists while a scope is the current one

  // Expressions: jinja_evaluate.cc
  Value evaluate(const Expression& expression);
  Value operand(const Expression& expression);  // evaluated, and charged for being gone through
  Arguments evaluate(const CallArguments& arguments);
  Value value_of(const Literal& node, int line);
  Value value_of(const Name& node, int line);
  Value value_of(const Items& node, int line);
  Value value_of(const Pairs& node, int line);
  Value value_of(const Unary& node, int line);
  Value value_of(const Binary& node, int line);
  Value value_of(const Comparison& node, int line);
  Value value_of(const Conditional& node, int line);
  Value value_of(const Attribute& node, int line);
  Value value_of(const Subscript& node, int line);
  Value value_of(const Slice& node, int line);
  Value value_of(const Call& node, int line);
  Value value_of(const Filter& node, int line);
  Value value_of(const Test& node, int line);
  Value call(const Call& node, int line, const Value* caller);
  Value look_up(const std::string& name) const;
  Value loop_value(const Pass& pass) const;
  Value made(Value value);  // charges for a value that was made anew

  // Statements: jinja_execute.cc
  Flow execute(const Body& body);
  Flow execute_scoped(const Body& body);
  Flow run_node(const Text& node);
  Flow run_node(const Print& node);
  Flow run_node(const If& node);
  Flow run_node(const For& node);
  Flow run_node(const Set& node);
  Flow run_node(const SetBlock& node);
  Flow run_node(const With& node);
  Flow run_node(const std::shared_ptr<const Macro>& node);
  Flow run_node(const CallBlock& node);
  Flow run_node(const FilterBlock& node);
  Flow run_node(const Generation& node);
  Flow run_node(const Break&) { return Flow::kBreak; }
  Flow run_node(const Continue&) { return Flow::kContinue; }
  void write(const std::string& text);
  std::string captured(const Body& body);
  Value filtered(std::string text, const std::vector<Filter>& filters);
  void assign(const Target& target, const Value& value);
  Value macro_value(const std::shared_ptr<const Macro>& macro);
  Value call_macro(const Macro& macro, const std::shared_ptr<Scope>& closure, const Arguments& arguments);

  const std::string& name_;
  const JinjaClock& clock_;
  std::shared_ptr<Scope> scope_;
  JinjaOutput output_;
  std::string* out_ = &output_.text;
  int line_ = 1;
  int depth_ = 0;
  size_t steps_ = 0;
  // Scopes hold macros that hold scopes, namespaces may hold themselves: emptied in the end, or they would stay, or go one
  // within the other until the stack is full.
  std::vector<std::shared_ptr<Scope>> closures_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

class Runtime::Deeper {
 public:
  explicit Deeper(Runtime& runtime) : runtime_(runtime) {
    if (++runtime_.depth_ > kDeepest) {
      --runtime_.depth_;
      throw Failure("calls and expressions are nested more than {} deep", kDeepest);
    }
  }
  ~Deeper() { --runtime_.depth_; }
  Deeper(const Deeper&) = delete;

 private:
  static constexpr int kDeepest = 500;
  Runtime& runtime_;
};

class Runtime::Entered {
 public:
  Entered(Runtime& runtime, std::shared_ptr<Scope> parent) : runtime_(runtime), before_(runtime.scope_) {
    runtime_.scope_ = std::make_shared<Scope>();
    runtime_.scope_->parent = std::move(parent);
  }
  explicit Entered(Runtime& runtime) : Entered(runtime, runtime.scope_) {}
  ~Entered() { runtime_.scope_ = before_; }
  Entered(const Entered&) = delete;

 private:
  Runtime& runtime_;
  std::shared_ptr<Scope> before_;
};

}  // namespace caltrop::jinja
