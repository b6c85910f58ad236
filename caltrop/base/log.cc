#include "caltrop/base/log.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include <unistd.h>

namespace caltrop {
namespace {

std::mutex mutex;
bool quiet = false;
bool bar_shown = false;

/// What follows "<key>   : " in a file of /proc.
std::optional<std::string> value_of(const std::filesystem::path& file, const std::string& key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key)) continue;
    const size_t value = line.find_first_not_of(" \t", line.find(':') + 1);
    if (value != std::string::npos) return line.substr(value);
  }
  return std::nullopt;
}

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
  const double memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  std::string name =
      fmt::format("{}, {} cores, {}", value_of("/proc/cpuinfo", "model name").value_or("unknown processor"),
                  std::thread::hardware_concurrency(), human_bytes(memory));
  const std::filesystem::path cards = "/proc/driver/nvidia/gpus";
  if (!std::filesystem::exists(cards)) return name;
  for (const auto& card : std::filesystem::directory_iterator(cards))
    name += ", " + value_of(card.path() / "information", "Model").value_or("unknown NVIDIA card");
  return name;
}

}  // namespace caltrop
