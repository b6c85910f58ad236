// Numbers as people read them. Tested by tests/report/verdict_test.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "caltrop/report/load.h"

namespace caltrop {

inline constexpr const char* kNone = "–";  // where there is no number

std::string percent(std::optional<double> share);          // 0.624 -> "62 %"
std::string points(double share_difference);               // 0.35 -> "+35", a difference in percentage points
std::string plain_points(double share);                    // 0.04 -> "4", without a sign
std::string count(int64_t number, std::string_view noun);  // 1, "step" -> "1 step"; 1200 -> "1,200 steps"
std::string brief_number(double number);                   // three significant digits
/// "10 steps"; "never" within the attack; kNone for a row without a result.
std::string steps_until(const Row& row, std::optional<Patience> Row::* until);
std::string patience_in_full(const Patience& patience);  // "10 steps (80 samples, 9,600 tokens, 0:27)"

/// "62 % → 25 % ± 4", where ± is that many standard errors.
std::string ability_change(const Row& row, double standard_errors = 1);

/// "3f2a… with uncommitted changes"
std::string commit_of(const Program& program);
/// "commit 3f2a…", "commits 3f2a…, 77c1… with uncommitted changes", or that the file does not tell.
std::string commits_of_runs(const Proof& proof);

/// A number of a declared metric: shares (unit "share") as percentages, others with their unit.
std::string metric_value(const MetricDeclaration& metric, double value);

}  // namespace caltrop
