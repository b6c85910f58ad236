// Lines for people, on standard error: standard output belongs to results. Thread-safe, one line at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace caltrop {

/// Prints one line. On a terminal it first clears a progress bar that may stand there.
void say_line(std::string_view line);
/// Prints "warning: <line>", in yellow on a terminal unless NO_COLOR is set.
void warn_line(std::string_view line);

template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  say_line(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  warn_line(fmt::format(format, std::forward<Args>(args)...));
}

/// Only errors and results from now on (--quiet).
void be_quiet();

/// A bar on a terminal: "align  [=====>    ] 12/40  loss 1.23  left 0:45". Nothing where standard error is no
/// terminal.
void show_progress(std::string_view title, int64_t done, int64_t total, std::string_view note);
void clear_progress();

std::string human_bytes(double bytes);      // "1.4 GiB"
std::string human_seconds(double seconds);  // "3:07", "1:02:09"

/// The machine in words: processor, cores, memory. For manifests.
std::string machine_name();

}  // namespace caltrop
