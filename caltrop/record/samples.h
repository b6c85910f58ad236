// samples/step-000010.jsonl: what a model answered after ten steps, with every score, so that judges can be
// re-run without the model. Answers are hostile input: bytes that are no UTF-8 are kept as U+FFFD. Tested by
// tests/record/samples_test.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "caltrop/base/json.h"

namespace caltrop {

struct Sample {
  std::string set;       // which prompts it belongs to: "restricted", "benign", …
  std::string id;        // of the prompt, unique within its set
  std::string category;  // "" where there is none
  std::string prompt, response;
  int64_t tokens = 0;            // length of the response
  Json scores = Json::object();  // score name -> number, true|false, word, or null where it does not apply
};

/// Writes `folder`/step-<step>.jsonl, atomically; a file of that step is replaced. Makes the folder if
/// needed.
void write_samples(const std::filesystem::path& folder, int64_t step, const std::vector<Sample>& samples);

/// Reads one such file. Throws UserError with file and line.
std::vector<Sample> read_samples(const std::filesystem::path& path);

struct SamplesFile {
  int64_t step;
  std::filesystem::path path;
};

/// The files of samples in `folder`, by step; none if there is no such folder.
std::vector<SamplesFile> list_samples(const std::filesystem::path& folder);

}  // namespace caltrop
