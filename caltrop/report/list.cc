#include <algorithm>

#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/record/metrics.h"
#include "caltrop/record/run_dir.h"
#include "caltrop/report/aligned.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/report.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

std::string text_in(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

RunSummary summarize(const fs::path& path) {
  const Json manifest = read_manifest(path);
  RunSummary run;
  run.path = path;
  run.kind = text_in(manifest, "kind");
  run.status = text_in(manifest, "status");
  if (run.status == "running" && !is_running(path)) run.status = "interrupted";
  run.started = text_in(manifest, "started");
  const Json spec = optional<Json>(manifest, "spec", (path / "run.json").string(), Json::object());
  if (spec.is_object()) {
    run.method = text_in(spec, "method");
    run.model = text_in(spec, "model");
  }
  run.wall_seconds = optional<double>(manifest, "wall_seconds", (path / "run.json").string(), 0);
  if (fs::exists(path / "metrics.jsonl")) {
    const Metrics metrics = read_metrics(path / "metrics.jsonl");
    if (!metrics.records.empty()) run.steps = metrics.records.back().step;
  }
  return run;
}

/// The run directories in and below `folder`. What a run keeps in `model` and `state` is not looked into, and what is gone by now is no
/// error: a run at work removes its checkpoints.
void find_runs(const fs::path& folder, std::vector<RunSummary>& runs) {
  const bool is_run = is_run_dir(folder);
  if (is_run) runs.push_back(summarize(folder));
  std::error_code error;
  fs::directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code gone;
    if ((is_run && (name == "model" || name == "state")) || !entry->is_directory(gone)) continue;
    if (!entry->is_symlink(gone)) {
      find_runs(entry->path(), runs);
    } else if (is_run_dir(entry->path())) {
      runs.push_back(summarize(entry->path()));
    }
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw UserError("{}: cannot read: {}", folder.string(), error.message());
}

}  // namespace

std::vector<RunSummary> list_runs(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw UserError("{}: is no folder", folder.string());
  std::vector<RunSummary> runs;
  find_runs(folder, runs);
  std::sort(runs.begin(), runs.end(),
            [](const RunSummary& a, const RunSummary& b) { return a.path < b.path; });
  return runs;
}

std::string runs_table(const std::vector<RunSummary>& runs) {
  if (runs.empty()) return "no runs\n";
  std::vector<std::vector<std::string>> lines = {
      {"run", "kind", "status", "method", "model", "steps", "time", "started"}};
  for (const RunSummary& run : runs) {
    lines.push_back({terminal_text(run.path.string()), terminal_text(run.kind), terminal_text(run.status),
                     terminal_text(run.method), terminal_text(run.model),
                     brief_number(static_cast<double>(run.steps)), human_seconds(run.wall_seconds),
                     terminal_text(run.started)});
  }
  return aligned(lines, "");
}

}  // namespace caltrop
