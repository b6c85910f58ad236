#include <algorithm>

#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/record/run_dir.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/sections.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

std::string folded(const std::string& summary_html, const Json& json) {
  return fmt::format("<details class=\"json\"><summary>{}</summary><pre dir=\"ltr\">{}</pre></details>",
                     summary_html, html_text(to_pretty(json)));
}

std::string text_in(const Json& manifest, const char* key) {
  const auto it = manifest.find(key);
  if (it == manifest.end() || it->is_null()) return kNone;
  return it->is_string() ? it->get<std::string>() : to_line(*it);
}

std::string number_in(const Json& manifest, const char* key, std::string (*show)(double)) {
  const auto it = manifest.find(key);
  return it != manifest.end() && it->is_number() ? show(it->get<double>()) : kNone;
}

std::vector<std::string> runs_of(const Proof& proof) {
  std::vector<std::string> runs;
  const auto add = [&](const std::string& run) {
    if (!run.empty() && std::find(runs.begin(), runs.end(), run) == runs.end()) runs.push_back(run);
  };
  for (const ProofModel& model : proof.models) add(model.run);
  for (const Cell& cell : proof.cells) add(cell.run);
  return runs;
}

std::string run_table(const Proof& proof) {
  std::string html =
      "<div class=\"scroll\"><table "
      "class=\"numbers\"><thead><tr><th>Run</th><th>Status</th><th>Spec</th><th>Time</th>"
      "<th>Peak memory</th><th>Device</th><th>dtype</th></tr></thead><tbody>";
  std::string manifests;
  for (const std::string& run : runs_of(proof)) {
    const auto path = path_inside(proof.root, run, (proof.root / "verdict.json").string());
    if (!is_run_dir(path)) {
      html += "<tr><td>" + isolated(run) + "</td><td colspan=\"6\">has no run.json</td></tr>";
      continue;
    }
    const Json manifest = read_manifest(path);
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        isolated(run), isolated(text_in(manifest, "status")),
        html_text(text_in(manifest, "spec_hash").substr(0, 12)),
        number_in(manifest, "wall_seconds", human_seconds),
        number_in(manifest, "peak_memory_bytes", human_bytes), isolated(text_in(manifest, "device")),
        isolated(text_in(manifest, "dtype")));
    manifests += folded(isolated(run + "/run.json"), manifest);
  }
  return html + "</tbody></table></div><details><summary>Their manifests</summary>" + manifests +
         "</details>";
}

}  // namespace

std::string failed_section(const Proof& proof) {
  std::string rows;
  const auto add = [&](const std::string& id, const std::string& status, const std::string& error) {
    rows += fmt::format("<dt>{}</dt><dd dir=\"auto\">{}</dd>", isolated(id),
                        html_text(error.empty() ? status : status + ": " + error));
  };
  for (const Cell& cell : proof.cells)
    if (cell.status == "failed") add(cell.id, cell.status, cell.error);
  for (const MissingCell& cell : proof.missing) add(cell.id, cell.status, cell.error);
  if (rows.empty()) return "";
  return "<section id=\"failed\"><h2>Cells without a result</h2><p class=\"lead\">The same command again "
         "makes what is missing and tries what failed once more.</p><dl class=\"failed\">" +
         rows + "</dl></section>";
}

std::string glossary_section(const Proof& proof) {
  std::string html = "<section id=\"glossary\"><h2>The metrics</h2><dl class=\"glossary\">";
  for (const MetricDeclaration& metric : proof.metrics) {
    std::vector<std::string> facts;
    if (!metric.unit.empty()) facts.push_back(metric.unit);
    if (!metric.better.empty()) facts.push_back(metric.better + " is better");
    html += fmt::format("<dt><code>{}</code> <span class=\"muted\">{}</span></dt><dd>{}</dd>",
                        html_text(metric.name), html_text(join(facts)), html_text(metric.meaning));
  }
  html += "</dl>";
  if (!proof.thresholds.empty()) {
    html += "<h3>Thresholds of the outcomes</h3><dl class=\"facts\">";
    for (const auto& [name, value] : proof.thresholds) {
      html += fmt::format("<dt><code>{}</code></dt><dd>{}</dd>", html_text(name), brief_number(value));
    }
    html += "</dl>";
  }
  return html + "</section>";
}

std::string record_section(const Proof& proof) {
  const auto fact = [](const char* name, const std::string& html) {
    return fmt::format("<dt>{}</dt><dd>{}</dd>", name, html);
  };
  std::string html = "<section id=\"record\"><h2>How it was made</h2>";
  if (!proof.command.empty())
    html += "<pre class=\"command\" dir=\"ltr\">" + html_text(proof.command) + "</pre>";
  html += "<dl class=\"facts\">";
  html += fact("Runs made by", html_text(commits_of_runs(proof)));
  html += fact("Judged by", html_text(fmt::format("caltrop {}, commit {}", proof.judged_by.version,
                                                  commit_of(proof.judged_by))));
  if (!proof.created.empty()) html += fact("Made", html_text(proof.created));
  if (!proof.machine.empty()) html += fact("Machine", isolated(proof.machine));
  html += "</dl>";
  for (const ProofModel& model : proof.models) {
    if (!model.options.empty()) html += folded("Options of " + isolated(model.name), model.options);
  }
  return html + "<h3>Its runs</h3>" + run_table(proof) + "</section>";
}

}  // namespace caltrop
