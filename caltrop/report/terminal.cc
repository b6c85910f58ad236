#include <algorithm>

#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/verdict.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

/// Columns that a text takes, counted in code points: every mark we print is one column wide.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths(lines.front().size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (size_t i = 0; i < line.size(); ++i)
      row += line[i] + std::string(widths[i] - width(line[i]) + 2, ' ');
    row.erase(row.find_last_not_of(' ') + 1);
    text += "  " + row + "\n";
  }
  return text;
}

}  // namespace

std::string terminal_verdict(const Proof& proof) {
  std::string text = terminal_text(proof.title) + "\n\n";
  std::vector<std::vector<std::string>> lines = {
      {"model", "attack", "outcome", "usable harm", "collapse", "ability", "gap"}};
  for (const Row& row : proof.rows) {
    const auto gap = gap_of(proof, row);
    lines.push_back({terminal_text(row.model), terminal_text(row.attack), marked_outcome(row.worst),
                     steps_until(row.until_usable_harm), steps_until(row.until_collapse), ability_change(row),
                     gap ? points(gap->mean) + " ± " + plain_points(gap->standard_error) : ""});
  }
  text += aligned(lines) + "\n";
  for (const ModelVerdict& verdict : judge_models(proof)) {
    std::vector<std::string> sentences = {verdict.headline};
    sentences.insert(sentences.end(), verdict.notes.begin(), verdict.notes.end());
    text += fmt::format("  {}: {}\n", terminal_text(verdict.model), terminal_text(join(sentences, " ")));
  }
  for (const std::string& caveat : caveats(proof)) text += "  Note: " + caveat + "\n";
  return text;
}

}  // namespace caltrop
