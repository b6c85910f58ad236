// Jinja templates as chat templates use them, without Python.
//
// A model's chat template is a program in Jinja, a language defined by the Python package jinja2 in the settings that
// transformers gives it (trim_blocks, lstrip_blocks, loop controls, the sandbox, its own tojson). What is here renders
// the part of it that chat templates use, to the same bytes; anything else is an error that names it, with template and
// line, and lists what there is. It also knows transformers' {% generation %} blocks, which mark what the assistant says.
//
// In order of use: jinja_lexer.h, jinja_parser.h (-> jinja_ast.h), jinja_runtime.h on jinja_value.h and jinja_builtins.h.
//
// Tested by tests/text/jinja_test.cc and tools/compare_templates.py, which holds it to jinja2.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/text/span.h"

namespace caltrop {

namespace jinja {
struct ParsedTemplate;
}

/// The local time that strftime_now() prints.
using JinjaClock = std::function<std::tm()>;
std::tm local_time();

struct JinjaOutput {
  std::string text;
  std::vector<Span> generation;  // bytes of text written by {% generation %} blocks, in order
};

/// Immutable; copies share one tree. Any number of threads may use one at a time.
class JinjaTemplate {
 public:
  /// Parses a template; `name` stands for it in errors. Throws UserError "<name>: line N: …".
  JinjaTemplate(const std::string& source, std::string name);

  /// Runs it with the members of the object `variables` as variables. Throws UserError "<name>: line N: …" for what the
  /// template refuses (raise_exception), for operations that fail, and for a run that does not come to an end.
  JinjaOutput render(const Json& variables, const JinjaClock& clock = local_time) const;

  /// Whether there is a {% generation %} block.
  bool marks_generation() const;

 private:
  std::string name_;
  std::shared_ptr<const jinja::ParsedTemplate> parsed_;
};

}  // namespace caltrop
