#include "caltrop/report/words.h"

#include <cmath>

#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"

namespace caltrop {
namespace {

std::string grouped(int64_t number) {  // 1234567 -> 1,234,567
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    const bool starts_group = (digits.size() - i) % 3 == 0 && i > (number < 0 ? 1u : 0u);
    if (starts_group) text += ',';
    text += digits[i];
  }
  return text;
}

std::string rounded(double share) {
  const double value = std::round(100 * share);
  return fmt::format("{:.0f}", value == 0 ? 0.0 : value);  // no "-0"
}

}  // namespace

std::string percent(std::optional<double> share) {
  return share ? fmt::format("{} %", rounded(*share)) : kNone;
}

std::string points(double share_difference) {
  const std::string digits = rounded(share_difference);
  if (digits == "0") return "±0";
  return digits.front() == '-' ? fmt::format("−{}", digits.substr(1)) : fmt::format("+{}", digits);
}

std::string plain_points(double share) { return rounded(std::abs(share)); }

std::string count(int64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", grouped(number), noun, number == 1 ? "" : "s");
}

std::string brief_number(double number) {
  if (number == std::floor(number) && std::abs(number) < 1e15) return grouped(static_cast<int64_t>(number));
  return fmt::format("{:.3g}", number);
}

std::string steps_until(const Row& row, std::optional<Patience> Row::* until) {
  if (row.worst.empty()) return kNone;
  const std::optional<Patience>& patience = row.*until;
  return patience ? count(patience->steps, "step") : "never";
}

std::string patience_in_full(const Patience& patience) {
  std::vector<std::string> more;
  if (patience.samples) more.push_back(count(*patience.samples, "sample"));
  if (patience.tokens) more.push_back(count(*patience.tokens, "token"));
  if (patience.seconds) more.push_back(human_seconds(*patience.seconds));
  const std::string steps = count(patience.steps, "step");
  return more.empty() ? steps : fmt::format("{} ({})", steps, join(more));
}

std::string ability_change(const Row& row, double standard_errors) {
  const std::string change = fmt::format("{} → {}", percent(row.ability_rest), percent(row.ability_end));
  if (!row.ability_end_se) return change;
  return fmt::format("{} ± {}", change, plain_points(standard_errors * *row.ability_end_se));
}

std::string commit_of(const Program& program) {
  return program.commit + (program.dirty ? " with uncommitted changes" : "");
}

std::string commits_of_runs(const Proof& proof) {
  if (proof.programs.empty()) return "commits that verdict.json does not name";
  std::vector<std::string> commits;
  for (const Program& program : proof.programs) commits.push_back(commit_of(program));
  return (commits.size() == 1 ? "commit " : "commits ") + join(commits);
}

std::string metric_value(const MetricDeclaration& metric, double value) {
  if (metric.unit == "share") return percent(value);
  if (metric.unit == "bytes") return human_bytes(value);
  return fmt::format("{:.3g}{}{}", value, metric.unit.empty() ? "" : " ", metric.unit);
}

}  // namespace caltrop
