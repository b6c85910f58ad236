#include "caltrop/train/checkpoint.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/folders.h"
#include "caltrop/io/safetensors.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";

void check(const std::error_code& error, const fs::path& path, const char* what) {
  if (error) throw UserError("{}: cannot {}: {}", path.string(), what, error.message());
}

void remove_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  check(error, folder, "remove");
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  check(error, from, "rename");
}

/// Folders of complete checkpoints, oldest first.
std::vector<fs::path> checkpoints(const fs::path& state) {
  std::vector<fs::path> found;
  if (!may_exist(state)) return found;
  std::error_code error;
  const fs::directory_iterator entries(state, error);
  check(error, state, "open");
  for (const auto& entry : entries) {
    if (entry.is_directory(error) && entry.path().filename().string().starts_with(kPrefix))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void copy_into(const NamedTensors& targets, const fs::path& path) {
  const at::NoGradGuard no_grad;
  const auto file = SafetensorsFile::open(path);
  for (const auto& [name, target] : targets) {
    if (!file->has(name))
      throw UserError("{}: the tensor '{}' is missing; is this checkpoint of another run?", path.string(),
                      name);
    const Tensor saved = file->tensor(name);
    if (saved.sizes() != target.sizes())
      throw UserError("{}: the tensor '{}' has another shape than the model's", path.string(), name);
    target.copy_(saved);
  }
}

}  // namespace

void save_checkpoint(const fs::path& state, const TrainableWeights& weights, const Optimizer& optimizer,
                     const Objective& objective, const TrainTotals& totals) {
  const fs::path unfinished = state / "unfinished";  // what is not whole, or not any more
  std::error_code error;
  remove_folder(unfinished);
  fs::create_directories(unfinished, error);
  check(error, unfinished, "create");
  write_safetensors(unfinished / "weights.safetensors", weights.tensors());
  write_safetensors(unfinished / "optimizer.safetensors", optimizer.state());
  const NamedTensors remembered = objective.state();
  if (!remembered.empty()) write_safetensors(unfinished / "objective.safetensors", remembered);
  write_file(unfinished / "state.json", to_pretty({{"steps", totals.steps},
                                                   {"optimizer_steps", optimizer.steps},
                                                   {"rows", totals.rows},
                                                   {"tokens", totals.tokens},
                                                   {"forward_passes", totals.forward_passes},
                                                   {"backward_passes", totals.backward_passes},
                                                   {"seconds", totals.seconds}}));
  const std::vector<fs::path> older = checkpoints(state);
  rename_folder(unfinished, state / fmt::format("{}{:08}", kPrefix, totals.steps));
  sync_folder(state);  // the new one is there to stay before an older one goes
  for (const fs::path& folder : older) {
    rename_folder(folder, unfinished);  // half of one must not look like a whole one
    remove_folder(unfinished);
  }
}

TrainTotals load_checkpoint(const fs::path& state, TrainableWeights& weights, Optimizer& optimizer,
                            Objective& objective) {
  const std::vector<fs::path> found = checkpoints(state);
  if (found.empty()) return {};
  const fs::path& newest = found.back();
  const std::string where = (newest / "state.json").string();
  const Json json = read_json(newest / "state.json");
  copy_into(weights.tensors(), newest / "weights.safetensors");
  weights.apply();
  copy_into(optimizer.state(), newest / "optimizer.safetensors");
  optimizer.steps = required<int64_t>(json, "optimizer_steps", where);
  if (may_exist(newest / "objective.safetensors")) {
    const auto file = SafetensorsFile::open(newest / "objective.safetensors");
    const at::Device device = weights.tensors().front().second.device();
    NamedTensors remembered;
    for (const TensorEntry& entry : file->entries())
      remembered.emplace_back(entry.name,
                              file->tensor(entry.name).to(device, /*non_blocking=*/false, /*copy=*/true));
    objective.load_state(remembered);
  }
  return {required<int64_t>(json, "steps", where),           required<int64_t>(json, "rows", where),
          required<int64_t>(json, "tokens", where),          required<int64_t>(json, "forward_passes", where),
          required<int64_t>(json, "backward_passes", where), required<double>(json, "seconds", where)};
}

int64_t checkpoint_steps(const fs::path& state) {
  const std::vector<fs::path> found = checkpoints(state);
  if (found.empty()) return 0;
  return required<int64_t>(read_json(found.back() / "state.json"), "steps", found.back().string());
}

}  // namespace caltrop
