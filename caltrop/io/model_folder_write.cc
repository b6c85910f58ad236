// The writing half of model_folder.h.
#include <cerrno>
#include <charconv>
#include <set>
#include <utility>

#include <signal.h>
#include <unistd.h>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/folders.h"
#include "caltrop/io/model_folder.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

// What is built lies in ".<name>.<process>.tmp" beside its target.
constexpr std::string_view kTemporary = ".tmp";

fs::path temporary_for(const fs::path& target) {
  return target.parent_path() / fmt::format(".{}.{}{}", target.filename().string(), ::getpid(), kTemporary);
}

/// Whether `name` is that of a folder which a process that no longer lives was building for `target`.
bool is_left_over(const std::string& name, const fs::path& target) {
  const std::string prefix = "." + target.filename().string() + ".";
  if (!name.starts_with(prefix) || !name.ends_with(kTemporary) ||
      name.size() <= prefix.size() + kTemporary.size())
    return false;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size() - kTemporary.size();
  pid_t process = 0;
  const auto [read, error] = std::from_chars(begin, end, process);
  return error == std::errc() && read == end && process > 0 && ::kill(process, 0) != 0 && errno == ESRCH;
}

/// A killed process could not tidy up, and a model takes gigabytes.
void remove_left_over(const fs::path& target) {
  std::error_code error;  // tidying up is no reason to fail
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(target.parent_path(), error)) {
    if (is_left_over(entry.path().filename().string(), target)) found.push_back(entry.path());
  }
  for (const fs::path& folder : found) fs::remove_all(folder, error);
}

/// Runs `fill` on a folder beside `path`, then renames that to `path`: a crash leaves `path` whole or absent.
/// rename(2) replaces an empty folder but not one with files, so even two processes cannot mix their files.
template <typename Fill>
void build_folder(const fs::path& path, const Fill& fill) {
  std::error_code error;
  const fs::path target = fs::absolute(path, error).lexically_normal();
  if (error) throw UserError("{}: cannot create: {}", path.string(), error.message());
  // "models/new/" has an empty file name; its parent is the folder itself.
  const fs::path final = target.has_filename() ? target : target.parent_path();
  const fs::path temporary = temporary_for(final);
  remove_left_over(final);
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
  sync_folder(final.parent_path());
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
  std::error_code error;
  const fs::file_status itself = fs::symlink_status(path, error);
  if (itself.type() == fs::file_type::not_found) return;
  const bool is_folder = !error && fs::is_directory(path, error);
  if (error) throw UserError("{}: cannot write there: {}", path.string(), error.message());
  if (!is_folder) throw UserError("{}: is a file, want a new or an empty folder", path.string());
  const fs::directory_iterator first(path, error);
  if (error) throw UserError("{}: cannot open: {}", path.string(), error.message());
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

/// The name in config.json of a dtype of weights; nullptr for integers.
const char* dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    case at::kDouble:
      return "float64";
    default:
      return nullptr;
  }
}

/// With the dtype of these weights, whatever those had that the config came with: a reader would cast to that.
Json with_dtype(Json config, const NamedTensors& tensors) {
  for (const auto& [tensor, data] : tensors) {
    const char* name = dtype_name(data.scalar_type());
    if (name == nullptr) continue;
    config["torch_dtype"] = name;
    config.erase("dtype");  // the name of the same since transformers 5, which reads the older one too
    break;
  }
  return config;
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
    write_file(folder / "config.json", to_pretty(with_dtype(config, tensors)));
  });
}

}  // namespace caltrop
