// The two halves of filters() in jinja_builtins.h.
#pragma once

#include "caltrop/text/jinja_builtins.h"

namespace caltrop::jinja {

/// On one value: texts, numbers, JSON.
const std::map<std::string, FilterFunction>& value_filters();
/// On what can be gone through.
const std::map<std::string, FilterFunction>& sequence_filters();

}  // namespace caltrop::jinja
