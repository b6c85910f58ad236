// A run directory: what one run leaves behind, and the only thing that stages tell each other.
//
//   run.json        the manifest: who, what, with which inputs, how long, how it ended (docs/formats.md)
//   metrics.jsonl   numbers over steps (metrics.h)
//   samples/        prompts and generations with their scores (samples.h)
//   model/          the model folder that the run made
//   state/          checkpoint to resume from
//   lock            held while a process works here; the kernel lets go of it when that process dies
//   DONE            written last: with it the run is finished and is never written to again
//
// A run is identified by the hash of its resolved spec. The same spec on an unfinished directory resumes it,
// on a finished one reuses it; another spec is refused, so that no result is ever overwritten. Tested by
// tests/record/run_dir_test.cc.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"

namespace caltrop {

/// Another process works in the run directory: no mistake if the two share the work.
class BusyRunDir : public UserError {
 public:
  using UserError::UserError;
};

class RunDir {
 public:
  /// Opens `path` for the run with `spec_hash` (hex) and takes its lock, or finds that the run is finished.
  /// What `manifest_start` holds (kind, spec, seeds, inputs, parent, device, dtype, threads,
  /// predicted_memory_bytes) goes into the manifest of a new run; a resumed run keeps the one it has and
  /// notes the resumption.
  ///
  /// Throws UserError, and changes nothing, if the directory belongs to another spec, if an input that both name has changed, or
  /// if it is a folder with other things in it; BusyRunDir if another process works in it.
  static RunDir create_or_resume(const std::filesystem::path& path, const std::string& spec_hash,
                                 const Json& manifest_start);
  ~RunDir();
  RunDir(RunDir&& other) noexcept;
  RunDir(const RunDir&) = delete;
  RunDir& operator=(const RunDir&) = delete;
  RunDir& operator=(RunDir&&) = delete;

  /// There was an unfinished run with the same spec.
  bool resumed() const { return resumed_; }
  /// There was a finished run with the same spec; nothing is locked, nothing may be written.
  bool finished() const { return finished_; }

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path samples() const { return root_ / "samples"; }
  std::filesystem::path model() const { return root_ / "model"; }
  std::filesystem::path state() const { return root_ / "state"; }

  const Json& manifest() const { return manifest_; }

  /// Sets the top-level keys of `patch` in the manifest and writes it atomically, with wall_seconds and
  /// peak_memory_bytes brought up to date. Time that a killed process spent after its last update is not
  /// counted.
  void update_manifest(const Json& patch);
  /// The same with status "done" and the time, then DONE.
  void finish(const Json& patch);
  /// The same with status "failed" and the message. The run stays resumable.
  void fail(const std::string& message);

 private:
  RunDir(std::filesystem::path root, int lock, bool resumed, bool finished, Json manifest);

  std::filesystem::path root_;
  int lock_;  // descriptor, -1 without one
  bool resumed_, finished_;
  Json manifest_;
  double seconds_before_ = 0;  // wall_seconds of the processes that worked on this run earlier
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Whether `path` holds a run.json.
bool is_run_dir(const std::filesystem::path& path);
/// Whether `path` holds DONE.
bool is_finished_run(const std::filesystem::path& path);
/// The first value in which two specs differ: its path, like "train.steps", and both values; null where there is none.
struct SpecDifference {
  std::string path;
  Json then, now;
};
/// `kIgnore`: what `then` does not speak of, since the program has learnt it later, is no difference.
enum class NewKeys { kCount, kIgnore };
std::optional<SpecDifference> first_difference(const Json& then, const Json& now,
                                               NewKeys new_keys = NewKeys::kCount,
                                               const std::string& path = "");

/// Makes a folder and those above it. Throws UserError.
void make_folder(const std::filesystem::path& path);
/// Whether some process works in the run directory `path` at this moment.
bool is_running(const std::filesystem::path& path);
/// The manifest of a run directory. Throws UserError if there is none or it is not one.
Json read_manifest(const std::filesystem::path& path);

/// Now, in UTC: "2026-03-14T15:09:26Z".
std::string utc_now();

}  // namespace caltrop
