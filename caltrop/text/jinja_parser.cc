#include "caltrop/text/jinja_parser.h"

#include <algorithm>
#include <map>

#include "caltrop/text/jinja_expression_parser.h"
#include "caltrop/text/jinja_lexer.h"
#include "caltrop/text/jinja_token_stream.h"

namespace caltrop::jinja {
namespace {

using Kind = Token::Kind;
using Words = std::vector<std::string>;

class Parser {
 public:
  Parser(const std::string& source, const std::string& name)
      : tokens_(tokenize(source, name), name), expressions_(tokens_) {}

  ParsedTemplate run() {
    parsed_.body = body({}, "", 1);
    return std::move(parsed_);
  }

 private:
  /// Statements up to a tag of one of `ends`, whose "{%" is then consumed, its name not. The statement `opened_by`, empty
  /// for the template itself, stands at line `opened_at`.
  Body body(const Words& ends, const std::string& opened_by, int opened_at) {
    const TokenStream::Nested nested(tokens_);
    Body statements;
    while (true) {
      expressions_.start_tag();
      const Token token = tokens_.take();
      if (token.kind == Kind::kText) {
        statements.push_back({token.line, Text{token.text}});
      } else if (token.kind == Kind::kPrintBegin) {
        ExpressionPtr value = expressions_.expressions();
        tokens_.want(Kind::kPrintEnd, "}}");
        statements.push_back({token.line, Print{std::move(value)}});
      } else if (token.kind == Kind::kBlockBegin) {
        const Token& word = tokens_.now();
        if (word.kind == Kind::kName && std::find(ends.begin(), ends.end(), word.text) != ends.end())
          return statements;
        statements.push_back(statement());
      } else if (opened_by.empty()) {
        return statements;
      } else {
        tokens_.fail("'{}' of line {} is not closed; want '{}'", opened_by, opened_at, ends.back());
      }
    }
  }

  Body body_until(const std::string& end, const std::string& opened_by, int opened_at) {
    end_tag();
    Body statements = body({end}, opened_by, opened_at);
    tokens_.take();
    end_tag();
    return statements;
  }

  /// A body whose loops are its own: it cannot leave a loop around it.
  Body separate_body(const std::string& end, const std::string& opened_by, int opened_at) {
    const int loops = std::exchange(loops_, 0);
    Body statements = body_until(end, opened_by, opened_at);
    loops_ = loops;
    return statements;
  }

  void end_tag() { tokens_.want(Kind::kBlockEnd, "%}"); }

  Statement statement() {
    static const std::map<std::string, Statement (Parser::*)(int)> kStatements = {
        {"break", &Parser::leave<Break>},
        {"call", &Parser::call_block},
        {"continue", &Parser::leave<Continue>},
        {"filter", &Parser::filter_block},
        {"for", &Parser::for_loop},
        {"generation", &Parser::generation},
        {"if", &Parser::if_else},
        {"macro", &Parser::macro},
        {"set", &Parser::set},
        {"with", &Parser::with}};
    const std::string where = tokens_.where();
    const int line = tokens_.line();
    const std::string word = tokens_.want_any_name("the name of a statement");
    const auto known = kStatements.find(word);
    if (known == kStatements.end()) {
      std::vector<std::string> names;
      for (const auto& [name, parse] : kStatements) names.push_back(name);
      throw unknown_name(where, "statement", word, names);
    }
    return (this->*known->second)(line);
  }

  template <typename Leave>
  Statement leave(int line) {
    if (loops_ == 0) tokens_.fail("'break' and 'continue' want a loop around them");
    end_tag();
    return {line, Leave{}};
  }

  Statement if_else(int line) {
    If choice;
    std::string word = "if";
    while (word == "if" || word == "elif") {
      expressions_.start_tag();
      ExpressionPtr condition = expressions_.expressions(/*conditional=*/false);
      end_tag();
      choice.branches.emplace_back(std::move(condition), body({"elif", "else", "endif"}, "if", line));
      word = tokens_.take().text;
    }
    if (word == "else") {
      choice.otherwise = body_until("endif", "if", line);
    } else {
      end_tag();
    }
    return {line, std::move(choice)};
  }

  Statement for_loop(int line) {
    For loop;
    loop.target = targets();
    tokens_.want_name("in");
    loop.over = expressions_.expressions(/*conditional=*/false);
    if (tokens_.skip_name("if")) loop.condition = expressions_.expression();
    if (tokens_.now().is_name("recursive")) tokens_.fail("'recursive' loops are not supported; use a macro");
    end_tag();
    ++loops_;
    loop.body = body({"else", "endfor"}, "for", line);
    --loops_;
    if (tokens_.take().text == "else") {
      loop.otherwise = body_until("endfor", "for", line);
    } else {
      end_tag();
    }
    return {line, std::move(loop)};
  }

  Target target() {
    if (tokens_.skip_operator("(")) {
      const TokenStream::Nested nested(tokens_);
      Target inside = targets();
      tokens_.want_operator(")");
      return inside;
    }
    Target target;
    target.name = tokens_.want_any_name("a name to assign to");
    if (tokens_.skip_operator(".")) target.attribute = tokens_.want_any_name("a name after '.'");
    for (const char* word : {"true", "false", "none", "True", "False", "None"}) {
      if (target.name == word) tokens_.fail("'{}' cannot be assigned to", word);
    }
    return target;
  }

  /// One target, or several with commas between them.
  Target targets() {
    Target first = target();
    if (!tokens_.now().is_operator(",")) return first;
    Target all;
    all.several.push_back(std::move(first));
    while (tokens_.skip_operator(",")) {
      if (tokens_.now().kind != Kind::kName && !tokens_.now().is_operator("(")) break;
      if (tokens_.now().is_name("in")) break;
      all.several.push_back(target());
    }
    return all;
  }

  std::vector<Filter> filter_chain() {
    std::vector<Filter> chain;
    do {
      chain.push_back(expressions_.filter());
    } while (tokens_.skip_operator("|"));
    return chain;
  }

  Statement set(int line) {
    Target to = targets();
    if (tokens_.skip_operator("=")) {
      ExpressionPtr value = expressions_.expressions();
      end_tag();
      return {line, Set{std::move(to), std::move(value)}};
    }
    SetBlock block{std::move(to), {}, {}};
    if (tokens_.skip_operator("|")) block.filters = filter_chain();
    block.body = separate_body("endset", "set", line);
    return {line, std::move(block)};
  }

  Statement with(int line) {
    With scope;
    while (tokens_.now().kind != Kind::kBlockEnd) {
      if (!scope.values.empty()) tokens_.want_operator(",");
      Target to = target();
      tokens_.want_operator("=");
      scope.values.emplace_back(std::move(to), expressions_.expression());
    }
    scope.body = body_until("endwith", "with", line);
    return {line, std::move(scope)};
  }

  std::vector<std::pair<std::string, ExpressionPtr>> parameters() {
    std::vector<std::pair<std::string, ExpressionPtr>> all;
    tokens_.want_operator("(");
    while (!tokens_.skip_operator(")")) {
      if (!all.empty()) tokens_.want_operator(",");
      const std::string name = tokens_.want_any_name("the name of a parameter");
      ExpressionPtr fallback = tokens_.skip_operator("=") ? expressions_.expression() : nullptr;
      if (fallback == nullptr && !all.empty() && all.back().second != nullptr) {
        tokens_.fail("the parameter '{}' without a default follows one with a default", name);
      }
      all.emplace_back(name, std::move(fallback));
    }
    return all;
  }

  Statement macro(int line) {
    auto made = std::make_shared<Macro>();
    made->name = tokens_.want_any_name("the name of a macro");
    made->parameters = parameters();
    made->body = separate_body("endmacro", "macro", line);
    return {line, std::shared_ptr<const Macro>(std::move(made))};
  }

  Statement call_block(int line) {
    auto caller = std::make_shared<Macro>();
    if (tokens_.now().is_operator("(")) caller->parameters = parameters();
    ExpressionPtr call = expressions_.expression();
    if (!std::holds_alternative<Call>(call->node))
      tokens_.fail("'call' wants a call, as in {{% call name() %}}");
    caller->body = separate_body("endcall", "call", line);
    return {line, CallBlock{std::move(caller), std::move(call)}};
  }

  Statement filter_block(int line) {
    std::vector<Filter> chain = filter_chain();
    return {line, FilterBlock{std::move(chain), body_until("endfilter", "filter", line)}};
  }

  Statement generation(int line) {
    parsed_.marks_generation = true;
    return {line, Generation{separate_body("endgeneration", "generation", line)}};
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  ParsedTemplate parsed_;
  int loops_ = 0;  // around the statement
};

}  // namespace

ParsedTemplate parse(const std::string& source, const std::string& name) {
  return Parser(source, name).run();
}

}  // namespace caltrop::jinja
