#include "caltrop/text/jinja_expression_parser.h"

#include <algorithm>

#include "caltrop/text/jinja_builtins.h"
#include "caltrop/text/jinja_literal.h"

namespace caltrop::jinja {
namespace {

constexpr int kMostParts = 2000;  // of the expressions in one tag: trees are walked by recursion

using Kind = Token::Kind;

}  // namespace

ExpressionPtr ExpressionParser::make(int line, decltype(Expression::node) node) {
  if (++parts_ > kMostParts) tokens_.fail("a tag has more than {} parts", kMostParts);
  return std::make_unique<Expression>(Expression{line, std::move(node)});
}

ExpressionPtr ExpressionParser::expression(bool conditional) {
  const TokenStream::Nested nested(tokens_);
  ExpressionPtr value = either();
  while (conditional && tokens_.now().is_name("if")) {
    const int line = tokens_.take().line;
    ExpressionPtr condition = either();
    ExpressionPtr otherwise = tokens_.skip_name("else") ? expression() : nullptr;
    value = make(line, Conditional{std::move(condition), std::move(value), std::move(otherwise)});
  }
  return value;
}

ExpressionPtr ExpressionParser::expressions(bool conditional) {
  const int line = tokens_.line();
  ExpressionPtr first = expression(conditional);
  if (!tokens_.now().is_operator(",")) return first;
  Items items{{}, /*is_tuple=*/true};
  items.items.push_back(std::move(first));
  while (tokens_.skip_operator(",")) {
    const Token& now = tokens_.now();
    if (now.kind == Kind::kPrintEnd || now.kind == Kind::kBlockEnd || now.is_operator(")")) break;
    items.items.push_back(expression(conditional));
  }
  return make(line, std::move(items));
}

ExpressionPtr ExpressionParser::binary_chain(std::initializer_list<std::string_view> operators,
                                             Parse operand) {
  ExpressionPtr left = (this->*operand)();
  while (tokens_.now().kind == Kind::kOperator &&
         std::find(operators.begin(), operators.end(), tokens_.now().text) != operators.end()) {
    const Token op = tokens_.take();
    ExpressionPtr right = (this->*operand)();
    left = make(op.line, Binary{op.text, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::logical_chain(std::string_view word, Parse operand) {
  ExpressionPtr left = (this->*operand)();
  while (tokens_.now().is_name(word)) {
    const Token op = tokens_.take();
    ExpressionPtr right = (this->*operand)();
    left = make(op.line, Binary{op.text, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::either() { return logical_chain("or", &ExpressionParser::both); }
ExpressionPtr ExpressionParser::both() { return logical_chain("and", &ExpressionParser::negation); }
ExpressionPtr ExpressionParser::sum() { return binary_chain({"+", "-"}, &ExpressionParser::concatenation); }
ExpressionPtr ExpressionParser::concatenation() { return binary_chain({"~"}, &ExpressionParser::product); }
ExpressionPtr ExpressionParser::product() {
  return binary_chain({"*", "/", "//", "%"}, &ExpressionParser::power);
}
// Unlike Python's, jinja2's ** groups to the left and binds less than a sign.
ExpressionPtr ExpressionParser::power() { return binary_chain({"**"}, &ExpressionParser::signed_value); }

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.now().is_name("not")) return comparison();
  const TokenStream::Nested nested(tokens_);
  const int line = tokens_.take().line;
  return make(line, Unary{"not", negation()});
}

ExpressionPtr ExpressionParser::comparison() {
  static const std::vector<std::string> kOperators = {"==", "!=", "<", "<=", ">", ">="};
  const int line = tokens_.line();
  ExpressionPtr first = sum();
  Comparison comparison{nullptr, {}};
  while (true) {
    const Token& now = tokens_.now();
    if (now.kind == Kind::kOperator &&
        std::find(kOperators.begin(), kOperators.end(), now.text) != kOperators.end()) {
      const std::string op = tokens_.take().text;
      comparison.rest.emplace_back(op, sum());
    } else if (tokens_.skip_name("in")) {
      comparison.rest.emplace_back("in", sum());
    } else if (now.is_name("not") && tokens_.next().is_name("in")) {
      tokens_.take(), tokens_.take();
      comparison.rest.emplace_back("not in", sum());
    } else {
      break;
    }
  }
  if (comparison.rest.empty()) return first;
  comparison.first = std::move(first);
  return make(line, std::move(comparison));
}

ExpressionPtr ExpressionParser::signed_value() { return with_filters(unfiltered_value()); }

ExpressionPtr ExpressionParser::unfiltered_value() {
  const Token& now = tokens_.now();
  if (!now.is_operator("-") && !now.is_operator("+")) return with_accesses(primary());
  const TokenStream::Nested nested(tokens_);
  const Token sign = tokens_.take();
  return make(sign.line, Unary{sign.text, unfiltered_value()});
}

ExpressionPtr ExpressionParser::primary() {
  const Token token = tokens_.now();
  switch (token.kind) {
    case Kind::kName:
      tokens_.take();
      if (token.text == "true" || token.text == "True") return make(token.line, Literal{true});
      if (token.text == "false" || token.text == "False") return make(token.line, Literal{false});
      if (token.text == "none" || token.text == "None") return make(token.line, Literal{Value(None{})});
      return make(token.line, Name{token.text});
    case Kind::kString: {
      std::string text;
      while (tokens_.now().kind == Kind::kString) text += tokens_.take().text;  // adjacent strings are one
      return make(token.line, Literal{Value(std::move(text))});
    }
    case Kind::kInteger: {
      const Value value = integer_value(token.text, tokens_.where());
      tokens_.take();
      return make(token.line, Literal{value});
    }
    case Kind::kFloat:
      tokens_.take();
      return make(token.line, Literal{float_value(token.text)});
    default:
      break;
  }
  if (token.is_operator("(")) return parenthesised();
  if (token.is_operator("[")) return list();
  if (token.is_operator("{")) return dict();
  tokens_.fail("got {}, want an expression", token.spelt());
}

ExpressionPtr ExpressionParser::parenthesised() {
  const int line = tokens_.take().line;
  if (tokens_.skip_operator(")")) return make(line, Items{{}, /*is_tuple=*/true});
  ExpressionPtr inside = expressions();
  tokens_.want_operator(")");
  return inside;
}

ExpressionPtr ExpressionParser::list() {
  const int line = tokens_.take().line;
  Items items{{}, /*is_tuple=*/false};
  while (!tokens_.skip_operator("]")) {
    if (!items.items.empty()) {
      tokens_.want_operator(",");
      if (tokens_.skip_operator("]")) break;
    }
    items.items.push_back(expression());
  }
  return make(line, std::move(items));
}

ExpressionPtr ExpressionParser::dict() {
  const int line = tokens_.take().line;
  Pairs pairs;
  while (!tokens_.skip_operator("}")) {
    if (!pairs.items.empty()) {
      tokens_.want_operator(",");
      if (tokens_.skip_operator("}")) break;
    }
    ExpressionPtr key = expression();
    tokens_.want_operator(":");
    pairs.items.emplace_back(std::move(key), expression());
  }
  return make(line, std::move(pairs));
}

ExpressionPtr ExpressionParser::with_accesses(ExpressionPtr object) {
  while (true) {
    const Token& now = tokens_.now();
    if (now.is_operator(".") || now.is_operator("[")) {
      object = access(std::move(object));
    } else if (now.is_operator("(")) {
      const int line = now.line;
      object = make(line, Call{std::move(object), call_arguments()});
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::with_filters(ExpressionPtr object) {
  while (true) {
    const Token& now = tokens_.now();
    const int line = now.line;
    if (tokens_.skip_operator("|")) {
      Filter filtered = filter();
      filtered.object = std::move(object);
      object = make(line, std::move(filtered));
    } else if (now.is_name("is")) {
      object = test(std::move(object));
    } else if (now.is_operator("(")) {
      object = make(line, Call{std::move(object), call_arguments()});
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::access(ExpressionPtr object) {
  const int line = tokens_.line();
  if (tokens_.skip_operator("[")) return subscript(std::move(object));
  tokens_.take();
  const Token token = tokens_.take();
  if (token.kind == Kind::kName) return make(line, Attribute{std::move(object), token.text});
  if (token.kind == Kind::kInteger) {
    ExpressionPtr index = make(line, Literal{integer_value(token.text, tokens_.where())});
    return make(line, Subscript{std::move(object), std::move(index)});
  }
  tokens_.fail("got {}, want a name after '.'", token.spelt());
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  const int line = tokens_.line();
  ExpressionPtr parts[3];
  int colons = 0;
  while (!tokens_.now().is_operator("]")) {
    if (tokens_.skip_operator(":")) {
      if (++colons > 2) tokens_.fail("a slice has at most two ':'");
    } else if (parts[colons] != nullptr) {
      tokens_.fail("got {}, want ']'", tokens_.now().spelt());
    } else {
      parts[colons] = expression();
    }
  }
  tokens_.take();
  if (colons > 0) {
    return make(line,
                Slice{std::move(object), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])});
  }
  if (parts[0] == nullptr) tokens_.fail("got ']', want an index");
  return make(line, Subscript{std::move(object), std::move(parts[0])});
}

CallArguments ExpressionParser::call_arguments() {
  tokens_.want_operator("(");
  CallArguments arguments;
  bool first = true;
  while (!tokens_.skip_operator(")")) {
    if (!first) {
      tokens_.want_operator(",");
      if (tokens_.skip_operator(")")) break;
    }
    first = false;
    if (tokens_.now().is_operator("*") || tokens_.now().is_operator("**")) {
      tokens_.fail("'{}' before an argument is not supported; pass the arguments one by one",
                   tokens_.now().text);
    }
    if (tokens_.now().kind == Kind::kName && tokens_.next().is_operator("=")) {
      const std::string name = tokens_.take().text;
      tokens_.take();
      arguments.named.emplace_back(name, expression());
    } else {
      if (!arguments.named.empty()) tokens_.fail("an argument without a name follows one with a name");
      arguments.positional.push_back(expression());
    }
  }
  return arguments;
}

Filter ExpressionParser::filter() {
  const std::string where = tokens_.where();
  const std::string name = tokens_.want_any_name("the name of a filter");
  if (!filters().contains(name)) throw unknown_name(where, "filter", name, names_of(filters()));
  Filter filter{nullptr, name, {}};
  if (tokens_.now().is_operator("(")) filter.arguments = call_arguments();
  return filter;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr object) {
  const int line = tokens_.take().line;
  const bool negated = tokens_.skip_name("not");
  const std::string where = tokens_.where();
  const std::string name = tokens_.want_any_name("the name of a test");
  if (!tests().contains(name)) throw unknown_name(where, "test", name, names_of(tests()));
  Test test{std::move(object), name, {}};
  const Token& now = tokens_.now();
  const bool takes_argument = now.kind == Kind::kString || now.kind == Kind::kInteger ||
                              now.kind == Kind::kFloat || now.is_operator("[") || now.is_operator("{") ||
                              (now.kind == Kind::kName && now.text != "else" && now.text != "or" &&
                               now.text != "and" && now.text != "if");
  if (now.is_operator("(")) {
    test.arguments = call_arguments();
  } else if (now.is_name("is")) {
    tokens_.fail("tests cannot be chained with 'is'; join them with 'and'");
  } else if (takes_argument) {
    test.arguments.positional.push_back(with_accesses(primary()));
  }
  ExpressionPtr result = make(line, std::move(test));
  return negated ? make(line, Unary{"not", std::move(result)}) : std::move(result);
}

}  // namespace caltrop::jinja
