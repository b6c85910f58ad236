// Two kinds of error, and no third.
//
// UserError: what was given to us is wrong (a file, an option, a spec, a disk that is full). The message says
// who found it, what was there, what was wanted, the likely cause, and the file with line or offset. The CLI
// prints it and exits with 2. Whoever throws it leaves nothing half-written.
//
// CALTROP_ASSERT: we are wrong. It prints where and aborts; it is never reachable from user input.
//
// Nobody catches a UserError to go on. Tested by tests/base/error_test.cc.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace caltrop {

class UserError : public std::runtime_error {
 public:
  template <typename... Args>
  explicit UserError(fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

/// "a, b, c": for messages that list the names there are.
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");

/// "<who>: no <what> '<got>'; it has: <known>", the one form for a name that nobody knows.
UserError unknown_name(std::string_view who, std::string_view what, std::string_view got,
                       const std::vector<std::string>& known);

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line,
                                   const std::string& message);

#define CALTROP_ASSERT(condition, ...)                                                                       \
  do {                                                                                                       \
    if (!(condition)) ::caltrop::assertion_failed(#condition, __FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
  } while (false)

}  // namespace caltrop
