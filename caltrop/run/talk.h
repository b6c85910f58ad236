// Generation for people and for data: `caltrop chat` and `caltrop generate`. Tested by tests/e2e and
// tests/run/talk_test.cc.
#pragma once

#include <filesystem>
#include <iosfwd>

#include "caltrop/model/model.h"
#include "caltrop/rollout/generate.h"

namespace caltrop {

/// A conversation: a line in, the answer out as it comes, until the end of input or "/quit". "/new" forgets
/// what was said.
void chat(const std::filesystem::path& model, const ModelOptions& compute, const GenerateOptions& options,
          int64_t seed, std::istream& in, std::ostream& out);

/// Answers every prompt of a JSON-lines file; `out` gets its rows with "response", "ended" and "tokens"
/// added, atomically. Throws UserError.
void generate_file(const std::filesystem::path& model, const ModelOptions& compute,
                   const GenerateOptions& options, int64_t seed, const std::filesystem::path& prompts,
                   const std::filesystem::path& out);

}  // namespace caltrop
