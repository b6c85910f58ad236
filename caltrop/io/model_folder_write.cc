// The writing half of model_folder.h.
#include <set>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/io/model_folder.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// Runs `fill` on a folder beside `path`, then renames that to `path`: a crash leaves `path` whole or absent.
/// rename(2) replaces an empty folder but not one with files, so even two processes cannot mix their files.
template <typename Fill>
void build_folder(const fs::path& path, const Fill& fill) {
  const fs::path target = fs::absolute(path).lexically_normal();
  // "models/new/" has an empty file name; its parent is the folder itself.
  const fs::path final = target.has_filename() ? target : target.parent_path();
  const fs::path temporary =
      final.parent_path() / fmt::format(".{}.{}.tmp", final.filename().string(), ::getpid());
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::create_directories(temporary, error);
  if (error) throw UserError("{}: cannot create: {}", path.string(), error.message());
  try {
    fill(temporary);
    fs::rename(temporary, final, error);
    if (error) {
      throw UserError("{}: cannot rename {} to it: {}", path.string(), temporary.string(), error.message());
    }
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
  const int folder = ::open(final.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

/// Cuts the tensors, in their order, into runs of at most `shard_bytes`.
std::vector<NamedTensors> cut(const NamedTensors& tensors, int64_t shard_bytes) {
  std::vector<NamedTensors> shards(1);
  int64_t filled = 0;
  for (const auto& named : tensors) {
    const auto bytes = static_cast<int64_t>(named.second.nbytes());
    if (!shards.back().empty() && filled + bytes > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(named);
    filled += bytes;
  }
  return shards;
}

void write_weights(const fs::path& folder, const NamedTensors& tensors, int64_t shard_bytes) {
  const std::vector<NamedTensors> shards = cut(tensors, shard_bytes);
  if (shards.size() == 1) {
    write_safetensors(folder / "model.safetensors", shards[0]);
    return;
  }
  int64_t total = 0;
  std::map<std::string, std::string> shard_of;  // sorted by tensor name, as transformers writes it
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / name, shards[i]);
    for (const auto& [tensor, data] : shards[i]) {
      shard_of[tensor] = name;
      total += static_cast<int64_t>(data.nbytes());
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", shard_of}};
  write_file(folder / "model.safetensors.index.json", to_pretty(index));
}

void check_target(const fs::path& path) {
  if (!fs::exists(fs::symlink_status(path))) return;
  if (!fs::is_directory(path)) throw UserError("{}: is a file, want a new or an empty folder", path.string());
  const fs::directory_iterator first(path);
  if (first != fs::directory_iterator()) {
    throw UserError("{}: already holds files ({}, …), want a new or an empty folder", path.string(),
                    first->path().filename().string());
  }
}

void check_names(const fs::path& path, const NamedTensors& tensors) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) {
      throw UserError("{}: tensor '{}': stands twice among those to write", path.string(), name);
    }
  }
}

}  // namespace

void write_model_folder(const fs::path& path, const Json& config, const Json& generation_config,
                        const NamedTensors& tensors, const TextFiles& text_files, int64_t shard_bytes) {
  check_target(path);
  check_names(path, tensors);  // across shards, where write_safetensors cannot see
  build_folder(path, [&](const fs::path& folder) {
    write_weights(folder, tensors, shard_bytes);
    for (const auto& [name, text] : text_files) write_file(folder / name, text);
    if (!generation_config.is_null())
      write_file(folder / "generation_config.json", to_pretty(generation_config));
    write_file(folder / "config.json", to_pretty(config));
  });
}

}  // namespace caltrop
