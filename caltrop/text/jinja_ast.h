// A parsed template: statements that write, expressions that have values. Made by jinja_parser.h, run by
// jinja_runtime.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "caltrop/text/jinja_value.h"

namespace caltrop::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;  // null only where a comment says so

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct Items {  // [a, b] or (a, b)
  std::vector<ExpressionPtr> items;
  bool is_tuple;
};
struct Pairs {  // {a: b}
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};
struct Unary {
  std::string op;  // + - not
  ExpressionPtr operand;
};
struct Binary {
  std::string op;  // + - * / // % ** ~ and or
  ExpressionPtr left, right;
};
struct Comparison {  // a < b <= c
  ExpressionPtr first;
  std::vector<std::pair<std::string, ExpressionPtr>> rest;  // == != < <= > >= in, "not in"
};
struct Conditional {
  ExpressionPtr condition, then, otherwise;  // otherwise may be null
};
struct Attribute {  // a.b
  ExpressionPtr object;
  std::string name;
};
struct Subscript {  // a[b]
  ExpressionPtr object, index;
};
struct Slice {                           // a[from:to:step]
  ExpressionPtr object, from, to, step;  // from, to and step may be null
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExpressionPtr object;  // null for the text of a filter block
  std::string name;
  CallArguments arguments;
};
struct Test {
  ExpressionPtr object;
  std::string name;
  CallArguments arguments;
};

struct Expression {
  int line;
  std::variant<Literal, Name, Items, Pairs, Unary, Binary, Comparison, Conditional, Attribute, Subscript,
               Slice, Call, Filter, Test>
      node;
};

struct Statement;
using Body = std::vector<Statement>;

/// What is assigned to: a name, several names, or an attribute of a namespace.
struct Target {
  std::string name;
  std::string attribute;        // of the namespace `name`; else empty
  std::vector<Target> several;  // then name is empty
};

struct Text {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr over, condition;  // condition may be null
  Body body, otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  std::vector<Filter> filters;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Body body;
};
struct Macro {
  std::string name;                                               // empty for the body of a call block
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // the default may be null
  Body body;
};
struct CallBlock {
  std::shared_ptr<const Macro> caller;
  ExpressionPtr call;
};
struct FilterBlock {
  std::vector<Filter> filters;
  Body body;
};
struct Generation {
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<Text, Print, If, For, Set, SetBlock, With, std::shared_ptr<const Macro>, CallBlock,
               FilterBlock, Generation, Break, Continue>
      node;
};

}  // namespace caltrop::jinja
