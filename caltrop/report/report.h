// The one page that a proof comes to. Tested by tests/report/page_test.cc and, in a browser, by
// tests/browser/.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "caltrop/report/load.h"

namespace caltrop {

/// The proof as one self-contained HTML page: no network, own style and script, allowed by their hashes in a
/// Content-Security-Policy that forbids everything else. Every text of the proof is escaped (escape.h).
std::string render_page(const Proof& proof);

/// Reads the proof directory and writes its page, atomically. Throws UserError.
void write_report(const std::filesystem::path& proof_dir, const std::filesystem::path& html);

/// One run directory in a line.
struct RunSummary {
  std::filesystem::path path;
  std::string kind;           // "import", "defend", "attack", "evaluate", "prove"
  std::string status;         // "done", "failed", "running", or "interrupted": begun, and nobody works on it
  std::string method, model;  // of its spec; "" where it names none
  int64_t steps = 0;          // of the last record in metrics.jsonl
  double wall_seconds = 0;
  std::string started;  // UTC
};

/// The run directories in and below `folder`, by path. Throws UserError for a manifest that cannot be read.
std::vector<RunSummary> list_runs(const std::filesystem::path& folder);

/// The same as a table for a terminal.
std::string runs_table(const std::vector<RunSummary>& runs);

}  // namespace caltrop
