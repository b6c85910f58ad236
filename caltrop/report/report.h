// The one page that a proof comes to. Tested by tests/report/page_test.cc and, in a browser, by
// tests/browser/.
#pragma once

#include <filesystem>
#include <string>

#include "caltrop/report/load.h"

namespace caltrop {

/// The proof as one self-contained HTML page: no network, own style and script, allowed by their hashes in a
/// Content-Security-Policy that forbids everything else. Every text of the proof is escaped (escape.h).
std::string render_page(const Proof& proof);

/// Reads the proof directory and writes its page, atomically. Throws UserError.
void write_report(const std::filesystem::path& proof_dir, const std::filesystem::path& html);

}  // namespace caltrop
