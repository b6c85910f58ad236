// Template source -> statements. The reference is jinja2: src/jinja2/parser.py (3.1).
// Tested by tests/text/jinja_test.cc.
#pragma once

#include <string>

#include "caltrop/text/jinja_ast.h"

namespace caltrop::jinja {

struct ParsedTemplate {
  Body body;
  bool marks_generation = false;  // has {% generation %}
};

/// Throws UserError "<name>: line N: …" for syntax errors, for statements, filters and tests that we do not
/// know (listing those we do), and for nesting without end.
ParsedTemplate parse(const std::string& source, const std::string& name);

}  // namespace caltrop::jinja
