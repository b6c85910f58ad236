#include "caltrop/report/results.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/verdict.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

constexpr double kQuantile = 1.959964;  // of the normal distribution, for 95 %

using Cells = std::vector<std::string>;

std::string line_of(const Cells& cells) { return "| " + join(cells, " | ") + " |\n"; }

std::string table(const Cells& head, const std::vector<Cells>& lines) {
  std::string text = line_of(head) + line_of(Cells(head.size(), "---"));
  for (const Cells& line : lines) text += line_of(line);
  return text + "\n";
}

/// Text from a spec: one line, and no table drawn by it.
std::string plain(const std::string& text) {
  std::string safe;
  for (const char c : terminal_text(text)) safe += c == '|' || c == '<' ? '/' : c;
  return safe;
}

std::optional<double> find(const NumbersByName& numbers, const std::string& name) {
  const auto it = numbers.find(name);
  return it == numbers.end() ? std::nullopt : std::optional(it->second);
}

std::string per_step(const ProofModel& model, const char* what, const char* form) {
  const auto all = find(model.cost, what), steps = find(model.cost, "steps");
  return all && steps && *steps > 0 ? fmt::format(fmt::runtime(form), *all / *steps) : kNone;
}

/// "5.2 on 1 thread, bf16"
std::string seconds_per_step(const ProofModel& model) {
  const auto threads = find(model.cost, "threads");
  return per_step(model, "seconds", "{:.1f}") +
         (threads ? fmt::format(" on {:.0f} thread{}", *threads, *threads == 1 ? "" : "s") : "") +
         (model.dtype.empty() ? "" : ", " + plain(model.dtype));
}

/// "65 % (−6)": at rest, and the change against the undefended model.
std::string share_at_rest(const ProofModel& model, const ProofModel& bare, const std::string& name) {
  const auto here = find(model.at_rest, name), there = find(bare.at_rest, name);
  if (!here || !there) return kNone;
  return &model == &bare ? percent(here) : fmt::format("{} ({})", percent(here), points(*here - *there));
}

/// "1.153 (+2.1 %)"
std::string ratio_at_rest(const ProofModel& model, const ProofModel& bare, const std::string& name) {
  const auto here = find(model.at_rest, name), there = find(bare.at_rest, name);
  if (!here || !there) return kNone;
  return &model == &bare ? fmt::format("{:.3f}", *here)
                         : fmt::format("{:.3f} ({:+.1f} %)", *here, 100 * (*here / *there - 1));
}

/// Of the GPU's memory where the model was made on one.
std::string peak_memory_of(const ProofModel& model) {
  if (const auto gpu = find(model.cost, "peak_device_memory_bytes")) return human_bytes(*gpu) + " on the GPU";
  const auto memory = find(model.cost, "peak_memory_bytes");
  return memory ? human_bytes(*memory) : kNone;
}

std::string cost_table(const Proof& proof) {
  const auto found = std::find_if(proof.models.begin(), proof.models.end(),
                                  [](const ProofModel& model) { return model.is_undefended(); });
  const ProofModel& bare = found == proof.models.end() ? proof.models.front() : *found;
  const bool has_near = find(bare.at_rest, "over_refusal_rate_near").has_value(),
             has_diversity = find(bare.at_rest, "sampled_distinct_2").has_value();
  std::vector<Cells> lines;
  for (const ProofModel& model : proof.models) {
    lines.push_back(
        {plain(model.name),
         model.method.empty()
             ? kNone
             : plain(model.method) + (model.after.empty() ? "" : " after " + plain(model.after)),
         find(model.cost, "steps") ? brief_number(*find(model.cost, "steps")) : kNone,
         per_step(model, "forward_passes", "{:.2g}") + ", " + per_step(model, "backward_passes", "{:.2g}"),
         seconds_per_step(model), peak_memory_of(model), share_at_rest(model, bare, "ability"),
         ratio_at_rest(model, bare, "benign_nll"), share_at_rest(model, bare, "over_refusal_rate"),
         share_at_rest(model, bare, "refusal_rate")});
    if (has_near) lines.back().push_back(share_at_rest(model, bare, "over_refusal_rate_near"));
    if (has_diversity) lines.back().push_back(ratio_at_rest(model, bare, "sampled_distinct_2"));
  }
  Cells head = {"model",          "method",      "steps",   "passes a step, forward and backward",
                "seconds a step", "peak memory", "ability", "benign NLL",
                "over-refusal",   "refusal"};
  if (has_near) head.emplace_back("over-refusal near the domain");
  if (has_diversity) head.emplace_back("distinct-2 at T = 1");
  return table(head, lines);
}

/// The mean over seeds of a number at the last evaluated step.
std::optional<double> mean_at_end(const Proof& proof, const Row& row, const std::string& name) {
  double sum = 0;
  int64_t count = 0;
  for (const Cell& cell : proof.cells) {
    if (cell.model != row.model || cell.attack != row.attack || cell.trajectory.empty()) continue;
    const auto value = find(cell.trajectory.back().metrics, name);
    if (!value) continue;
    sum += *value;
    ++count;
  }
  return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
}

std::string useful_at_end(const Row& row) {
  if (!row.harm_end || !row.prompts || *row.prompts < 1) return percent(row.harm_end);
  const Interval in = wilson(*row.harm_end, *row.prompts);
  return fmt::format("{} ({:.0f} to {:.0f})", percent(row.harm_end), 100 * in.low, 100 * in.high);
}

std::string outcomes_of(const Row& row) {
  std::vector<std::string> parts;
  for (const auto& [outcome, seeds] : row.outcomes) parts.push_back(fmt::format("{} {}", seeds, outcome));
  return join(parts);
}

std::string attack_table(const Proof& proof) {
  const bool has_tasks = std::any_of(proof.rows.begin(), proof.rows.end(), [&](const Row& row) {
    return mean_at_end(proof, row, "task_accuracy").has_value();
  });
  std::vector<Cells> lines;
  Cells without;
  for (const Row& row : proof.rows) {
    if (row.outcomes.empty()) {
      without.push_back(plain(row.model) + " / " + plain(row.attack));
      continue;
    }
    const auto gap = gap_of(proof, row);
    lines.push_back(
        {plain(row.model), plain(row.attack), outcomes_of(row), steps_until(row, &Row::until_usable_harm),
         steps_until(row, &Row::until_collapse), useful_at_end(row), ability_change(row, kQuantile),
         plain(row.signature),
         gap ? fmt::format("{} ± {}", points(gap->mean), plain_points(kQuantile * gap->standard_error))
             : ""});
    if (has_tasks) lines.back().push_back(percent(mean_at_end(proof, row, "task_accuracy")));
  }
  Cells head = {"model",      "attack",         "outcome (seeds)",
                "until harm", "until collapse", "useful answers at the end",
                "ability",    "signature",      "gap"};
  if (has_tasks) head.emplace_back("task");
  return table(head, lines) + (without.empty() ? "" : "Without a result: " + join(without) + ".\n\n");
}

std::string section(const Proof& proof) {
  std::string text =
      fmt::format("## {}\n\n`{}`, {}, {}; runs made by {}, judged by commit {}.\n\n", plain(proof.title),
                  plain(proof.command), plain(proof.created), plain(proof.machine),
                  plain(commits_of_runs(proof)), plain(commit_of(proof.judged_by)));
  text += "What hardening cost, and what it took from the model before any attack:\n\n" + cost_table(proof);
  text += "Under attack:\n\n" + attack_table(proof);
  for (const ModelVerdict& verdict : judge_models(proof, kQuantile)) {
    Cells sentences = {verdict.headline};
    sentences.insert(sentences.end(), verdict.notes.begin(), verdict.notes.end());
    text += fmt::format("- **{}**: {}\n", plain(verdict.model), plain(join(sentences, " ")));
  }
  for (const std::string& caveat : caveats(proof)) text += "- Note: " + plain(caveat) + "\n";
  return text + "\n";
}

}  // namespace

Interval wilson(double share, int64_t n) {
  const auto count = static_cast<double>(n);
  const double z2 = kQuantile * kQuantile, denominator = 1 + z2 / count;
  const double middle = (share + z2 / (2 * count)) / denominator;
  const double half =
      kQuantile * std::sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / denominator;
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

std::string results_page(const std::vector<Proof>& proofs, const std::string& command) {
  std::string text = fmt::format(R"(# Results

Written by `{}` from the proofs that it names; `recipes/` has the purpose and the source of every value.

Every interval on this page, in tables and in sentences, is one of 95 %: those of useful answers (Wilson) over the test
prompts, those behind a ± over the questions (1.96 standard errors). All seeds share prompts and questions, so seeds do
not narrow them. In brackets: the change against the undefended model, ±0 for none. An attack with `stop_at_useful_rate`
ends where the attacker has what he wants. *gap*: ability lost under the attack minus ability lost under its benign twin
at the same step. What the words mean: `caltrop/eval/outcome.h`.

)",
                                 plain(command));
  for (const Proof& proof : proofs) text += section(proof);
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

}  // namespace caltrop
