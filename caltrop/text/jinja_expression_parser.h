// The expressions of a template. Loosest to tightest: a if b else c; or; and; not; comparisons; + -; ~; * /
// // %; **; signs; then .name [index] (call) |filter and "is" test. Tested by tests/text/jinja_test.cc.
#pragma once

#include "caltrop/text/jinja_ast.h"
#include "caltrop/text/jinja_token_stream.h"

namespace caltrop::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  /// One expression; with `conditional` false "a if b" ends before "if".
  ExpressionPtr expression(bool conditional = true);
  /// One, or a tuple of several without parentheses.
  ExpressionPtr expressions(bool conditional = true);
  CallArguments call_arguments();
  /// "name(arguments)" of one filter, without what it is applied to.
  Filter filter();
  /// The next tag may again have as many parts as any.
  void start_tag() { parts_ = 0; }

 private:
  using Parse = ExpressionPtr (ExpressionParser::*)();
  ExpressionPtr make(int line, decltype(Expression::node) node);
  ExpressionPtr binary_chain(std::initializer_list<std::string_view> operators, Parse operand);
  ExpressionPtr logical_chain(std::string_view word, Parse operand);
  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr signed_value();
  ExpressionPtr unfiltered_value();
  ExpressionPtr primary();
  ExpressionPtr parenthesised();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr with_accesses(ExpressionPtr object);
  ExpressionPtr with_filters(ExpressionPtr object);
  ExpressionPtr access(ExpressionPtr object);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr test(ExpressionPtr object);
  TokenStream& tokens_;
  int parts_ = 0;
};

}  // namespace caltrop::jinja
