#include "caltrop/record/run_dir.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/log.h"
#include "caltrop/base/memory.h"
#include "caltrop/record/build_info.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;

std::string reason() { return std::strerror(errno); }

bool is_leftover(const std::string& name) {  // of a process killed before the first manifest was in place
  return name == "lock" || name.starts_with(".run.json.");
}

void refuse_foreign_folder(const fs::path& path) {
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (is_leftover(name)) continue;
    if (is_run_dir(path)) return;  // asked last: another process may have begun the run just now
    throw UserError(
        "{}: this folder is not empty and is no run directory (it holds '{}' but no run.json); choose "
        "another --out",
        path.string(), name);
  }
}

/// "train.steps is 40 there and 60 here"
std::string in_words(const SpecDifference& difference) {
  constexpr size_t kLongest = 60;
  const auto brief = [](const Json& value) {
    std::string line = to_line(value);
    if (line.size() > kLongest) line = line.substr(0, kLongest) + "…";
    return line;
  };
  return fmt::format("{} is {} there and {} here", difference.path, brief(difference.then),
                     brief(difference.now));
}

void refuse_other_spec(const fs::path& path, const Json& manifest, const std::string& spec_hash,
                       const Json& manifest_start) {
  const auto have = required<std::string>(manifest, "spec_hash", (path / "run.json").string());
  if (have == spec_hash) {
    const Json then = optional<Json>(manifest, "inputs", path.string(), Json::object()),
               now = optional<Json>(manifest_start, "inputs", path.string(), Json::object());
    for (const auto& [file, hash] : then.items()) {
      if (now.contains(file) && now[file] != hash)
        throw UserError(
            "{}: {} is not what it was when this run began; choose another --out, or delete the folder if it "
            "is no longer "
            "wanted",
            path.string(), file);
    }
    return;
  }
  std::optional<SpecDifference> difference;
  if (manifest.contains("spec") && manifest_start.contains("spec"))
    difference = first_difference(manifest.at("spec"), manifest_start.at("spec"));
  throw UserError(
      "{}: belongs to another spec: {} there, {} here{}; choose another --out, or delete the folder if it "
      "is no longer wanted",
      path.string(), have.substr(0, 12), spec_hash.substr(0, 12),
      difference ? " (" + in_words(*difference) + ")" : "");
}

/// A lock on the whole file that belongs to its open description: it goes with the process, however that
/// ends.
struct flock whole_file(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// The pid that the holder of a lock wrote into it.
std::string holder(int lock) {
  char text[32] = {};
  const ssize_t count = ::pread(lock, text, sizeof text - 1, 0);
  std::string pid(text, count > 0 ? static_cast<size_t>(count) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "another process" : "process " + pid;
}

int take_lock(const fs::path& path) {
  const fs::path name = path / "lock";
  const int lock = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) throw UserError("{}: cannot open: {}", name.string(), reason());
  struct flock want = whole_file(F_WRLCK);
  if (::fcntl(lock, F_OFD_SETLK, &want) != 0) {
    const bool held = errno == EAGAIN || errno == EACCES;
    const std::string why = held ? holder(lock) : reason();
    ::close(lock);
    if (!held) throw UserError("{}: cannot lock: {}", name.string(), why);
    throw BusyRunDir("{}: {} is working in this run directory; wait for it, or choose another --out",
                     path.string(), why);
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock, 0) != 0 ||
      ::pwrite(lock, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    const std::string why = reason();
    ::close(lock);
    throw UserError("{}: cannot write: {}", name.string(), why);
  }
  return lock;
}

double number_or(const Json& object, const char* key, double fallback) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : fallback;
}

}  // namespace

std::optional<SpecDifference> first_difference(const Json& then, const Json& now, NewKeys new_keys,
                                               const std::string& path) {
  if (then == now) return std::nullopt;
  if (!then.is_object() || !now.is_object()) return SpecDifference{path, then, now};
  const auto at = [](const Json& object, const std::string& key) {
    return object.contains(key) ? object.at(key) : Json();
  };
  std::vector<const Json*> sides = {&then};
  if (new_keys == NewKeys::kCount) sides.push_back(&now);
  for (const Json* side : sides) {
    for (const auto& [key, unused] : side->items()) {
      const std::string inner = path.empty() ? key : path + "." + key;
      if (auto found = first_difference(at(then, key), at(now, key), new_keys, inner)) return found;
    }
  }
  return std::nullopt;
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw UserError("{}: cannot make the run directory: {}", path.string(), error.message());
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

bool is_run_dir(const fs::path& path) { return fs::is_regular_file(path / "run.json"); }
bool is_finished_run(const fs::path& path) { return is_run_dir(path) && fs::exists(path / "DONE"); }

bool is_running(const fs::path& path) {
  const int lock = ::open((path / "lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return false;
  struct flock question =
      whole_file(F_RDLCK);  // asked, not taken: a run that starts meanwhile is not disturbed
  const bool held = ::fcntl(lock, F_OFD_GETLK, &question) == 0 && question.l_type != F_UNLCK;
  ::close(lock);
  return held;
}

Json read_manifest(const fs::path& path) {
  if (!is_run_dir(path)) throw UserError("{}: is no run directory (it has no run.json)", path.string());
  const fs::path file = path / "run.json";
  Json manifest = read_json(file);
  const auto format = required<int64_t>(manifest, "format", file.string());
  if (format != kFormat) {
    throw UserError(
        "{}: has format {}, this program reads format {} (written by another version of Caltrop?)",
        file.string(), format, kFormat);
  }
  return manifest;
}

RunDir RunDir::create_or_resume(const fs::path& path, const std::string& spec_hash,
                                const Json& manifest_start) {
  if (fs::is_directory(path)) refuse_foreign_folder(path);
  if (is_run_dir(path)) {
    const Json manifest = read_manifest(path);
    refuse_other_spec(path, manifest, spec_hash, manifest_start);
    if (is_finished_run(path)) return RunDir(path, -1, false, true, manifest);
  }
  make_folder(path);
  const int lock = take_lock(path);

  // Looked at again under the lock: another process may have begun or finished the run meanwhile.
  if (is_run_dir(path)) {
    RunDir run(path, lock, true, false, read_manifest(path));
    refuse_other_spec(path, run.manifest_, spec_hash, manifest_start);
    if (is_finished_run(path)) return RunDir(path, -1, false, true, run.manifest_);
    run.manifest_["resumes"].push_back(
        {{"at", utc_now()}, {"program", build_info_json()}, {"machine", machine_name()}});
    run.manifest_.erase("error");
    run.update_manifest({{"status", "running"}});
    return run;
  }
  Json manifest = {{"format", kFormat},      {"status", "running"},          {"kind", nullptr},
                   {"spec_hash", spec_hash}, {"program", build_info_json()}, {"machine", machine_name()},
                   {"started", utc_now()},   {"finished", nullptr}};
  manifest.update(manifest_start);
  RunDir run(path, lock, false, false, std::move(manifest));
  run.update_manifest(Json::object());
  return run;
}

RunDir::RunDir(fs::path root, int lock, bool resumed, bool finished, Json manifest)
    : root_(std::move(root)),
      lock_(lock),
      resumed_(resumed),
      finished_(finished),
      manifest_(std::move(manifest)),
      seconds_before_(number_or(manifest_, "wall_seconds", 0)) {}

RunDir::RunDir(RunDir&& other) noexcept
    : root_(std::move(other.root_)),
      lock_(std::exchange(other.lock_, -1)),
      resumed_(other.resumed_),
      finished_(other.finished_),
      manifest_(std::move(other.manifest_)),
      seconds_before_(other.seconds_before_),
      start_(other.start_) {}

RunDir::~RunDir() {
  if (lock_ >= 0) ::close(lock_);  // and with it goes the lock
}

void RunDir::update_manifest(const Json& patch) {
  CALTROP_ASSERT(!finished_, "{} is finished and must not be written", root_.string());
  manifest_.update(patch);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  manifest_["wall_seconds"] = seconds_before_ + elapsed.count();
  manifest_["peak_memory_bytes"] =
      std::max(static_cast<int64_t>(number_or(manifest_, "peak_memory_bytes", 0)), peak_memory());
  write_file(root_ / "run.json", to_pretty(manifest_));
}

void RunDir::finish(const Json& patch) {
  Json last = patch;
  last.update({{"status", "done"}, {"finished", utc_now()}});
  update_manifest(last);
  write_file(root_ / "DONE", manifest_.at("finished").get<std::string>() + "\n");
  finished_ = true;
}

void RunDir::fail(const std::string& message) {
  update_manifest({{"status", "failed"}, {"error", message}, {"finished", utc_now()}});
}

}  // namespace caltrop
