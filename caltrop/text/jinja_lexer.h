// The tokens of a Jinja template: text to be copied, and what stands within {{ … }} and {% … %}.
//
// White space is settled here, as transformers has it settled: trim_blocks drops the line feed after a block
// or comment, lstrip_blocks the spaces before one that starts its line, "-" all white space on its side, "+"
// keeps it; and one line feed at the very end of the template is dropped. Comments and {% raw %} leave
// nothing but their text.
//
// The reference is jinja2: src/jinja2/lexer.py (3.1). Tested by tests/text/jinja_test.cc.
#pragma once

#include <string>
#include <vector>

namespace caltrop::jinja {

struct Token {
  enum class Kind {
    kText,
    kPrintBegin,  // {{
    kPrintEnd,    // }}
    kBlockBegin,  // {%
    kBlockEnd,    // %}
    kName,
    kString,  // text is the content, escapes resolved
    kInteger,
    kFloat,
    kOperator,
    kEnd,  // of the template
  };
  Kind kind;
  std::string text;
  int line;

  bool is(Kind k, std::string_view t) const { return kind == k && text == t; }
  bool is_name(std::string_view t) const { return is(Kind::kName, t); }
  bool is_operator(std::string_view t) const { return is(Kind::kOperator, t); }
  /// For messages: "'%}'", "the string 'a'", "the end of the template".
  std::string spelt() const;
};

/// All tokens, the last of them kEnd. Throws UserError "<name>: line N: …".
std::vector<Token> tokenize(const std::string& source, const std::string& name);

}  // namespace caltrop::jinja
