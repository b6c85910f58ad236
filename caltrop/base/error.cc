#include "caltrop/base/error.h"

#include <cstdio>
#include <cstdlib>

namespace caltrop {

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

UserError unknown_name(std::string_view who, std::string_view what, std::string_view got,
                       const std::vector<std::string>& known) {
  return UserError("{}: no {} '{}'; it has: {}", who, what, got, join(known));
}

void assertion_failed(const char* condition, const char* file, int line, const std::string& message) {
  fmt::print(stderr, "caltrop: a bug in Caltrop: {}\n  ({} does not hold at {}:{})\n", message, condition,
             file, line);
  std::abort();
}

}  // namespace caltrop
