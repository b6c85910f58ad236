#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/report/aligned.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/verdict.h"
#include "caltrop/report/words.h"

namespace caltrop {

std::string terminal_verdict(const Proof& proof) {
  std::string text = terminal_text(proof.title) + "\n\n";
  std::vector<std::vector<std::string>> lines = {
      {"model", "attack", "outcome", "until harm", "collapse", "ability", "gap"}};
  for (const Row& row : proof.rows) {
    const auto gap = gap_of(proof, row);
    lines.push_back({terminal_text(row.model), terminal_text(row.attack), marked_outcome(row.worst),
                     steps_until(row, &Row::until_usable_harm), steps_until(row, &Row::until_collapse),
                     ability_change(row),
                     gap ? points(gap->mean) + " ± " + plain_points(gap->standard_error) : ""});
  }
  text += aligned(lines, "  ") + "\n";
  for (const ModelVerdict& verdict : judge_models(proof)) {
    std::vector<std::string> sentences = {verdict.headline};
    sentences.insert(sentences.end(), verdict.notes.begin(), verdict.notes.end());
    text += fmt::format("  {}: {}\n", terminal_text(verdict.model), terminal_text(join(sentences, " ")));
  }
  for (const std::string& caveat : caveats(proof)) text += "  Note: " + terminal_text(caveat) + "\n";
  return text;
}

}  // namespace caltrop
