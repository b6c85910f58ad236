#include "caltrop/base/log.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <thread>

#include <unistd.h>

namespace caltrop {
namespace {

std::mutex mutex;
bool quiet = false;
bool bar_shown = false;

bool on_terminal() {
  static const bool terminal = ::isatty(STDERR_FILENO) != 0;
  return terminal;
}

void erase_bar() {
  if (bar_shown) std::fputs("\r\x1b[K", stderr);
  bar_shown = false;
}

}  // namespace

void say_line(std::string_view line) {
  const std::lock_guard lock(mutex);
  if (quiet) return;
  erase_bar();
  fmt::print(stderr, "{}\n", line);
}

void warn_line(std::string_view line) {
  const std::lock_guard lock(mutex);
  erase_bar();
  static const bool color = on_terminal() && std::getenv("NO_COLOR") == nullptr;
  fmt::print(stderr, "{}warning:{} {}\n", color ? "\x1b[33m" : "", color ? "\x1b[0m" : "", line);
}

void be_quiet() {
  const std::lock_guard lock(mutex);
  quiet = true;
}

void show_progress(std::string_view title, int64_t done, int64_t total, std::string_view note) {
  const std::lock_guard lock(mutex);
  if (quiet || !on_terminal() || total <= 0) return;
  constexpr int kWidth = 24;
  const auto filled = static_cast<int>(kWidth * done / total);
  erase_bar();
  fmt::print(stderr, "{} [{:=<{}}{:{}}] {}/{}  {}", title, "", filled, "", kWidth - filled, done, total,
             note);
  std::fflush(stderr);
  bar_shown = true;
}

void clear_progress() {
  const std::lock_guard lock(mutex);
  erase_bar();
}

std::string human_bytes(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = larger;
  }
  return fmt::format("{:.{}f} {}", bytes, *unit == 'B' ? 0 : 1, unit);
}

std::string human_seconds(double seconds) {
  const auto total = static_cast<int64_t>(seconds + 0.5);
  if (total >= 3600) return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  return fmt::format("{}:{:02}", total / 60, total % 60);
}

std::string machine_name() {
  std::string model = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  }
  const double memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  return fmt::format("{}, {} cores, {}", model, std::thread::hardware_concurrency(), human_bytes(memory));
}

}  // namespace caltrop
