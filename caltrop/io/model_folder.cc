#include "caltrop/io/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/folders.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// Throws what is most likely wrong with a folder that lacks config.json.
[[noreturn]] void refuse_without_config(const fs::path& path) {
  std::error_code error;
  const bool exists = fs::exists(path, error);
  if (error) throw UserError("{}: cannot open: {}", path.string(), error.message());
  if (!exists) throw UserError("{}: no such folder; want one with {}", path.string(), kConfig);
  if (path.extension() == ".gguf") {
    throw UserError("{}: is a GGUF file, want a model folder; `caltrop import` makes one from it",
                    path.string());
  }
  if (!fs::is_directory(path))
    throw UserError("{}: is a file, want a folder with {}", path.string(), kConfig);
  if (may_exist(path / "adapter_config.json")) {
    throw UserError(
        "{}: holds an adapter (adapter_config.json), want a whole model with {}; merge it into its base "
        "model first, "
        "in Python: PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)",
        path.string(), kConfig);
  }
  throw UserError("{}: has no {}, want a model folder as Hugging Face keeps it", path.string(), kConfig);
}

/// Throws what is most likely wrong with a folder that has no safetensors.
[[noreturn]] void refuse_without_weights(const fs::path& path) {
  std::set<std::string> pickles;
  std::error_code error;
  const fs::directory_iterator items(path, error);
  if (error) throw UserError("{}: cannot open: {}", path.string(), error.message());
  for (const auto& item : items) {
    const std::string extension = item.path().extension().string();
    if (extension == ".bin" || extension == ".pt" || extension == ".pth") {
      pickles.insert(item.path().filename().string());
    }
  }
  if (pickles.empty()) {
    throw UserError("{}: has no weights, want {} or {}", path.string(), kWeights, kIndex);
  }
  throw UserError(
      "{}: has its weights in {}, want {}; a pickle can run any code when it is loaded, so Caltrop never "
      "loads one; "
      "convert it where you trust it, in Python: "
      "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)",
      path.string(), *pickles.begin(), kWeights);
}

struct Shard {
  std::shared_ptr<const SafetensorsFile> file;
  std::string name;  // as the index has it
};

/// Opens the files that the index names, and holds it and them to each other.
std::vector<Shard> open_shards(const fs::path& folder) {
  const std::string index = (folder / kIndex).string();
  const auto weight_map = required<Json>(read_json(folder / kIndex), "weight_map", index);
  if (!weight_map.is_object() || weight_map.empty()) {
    throw UserError("{}: 'weight_map' is {}, want an object from tensor names to file names", index,
                    to_line(weight_map));
  }
  std::map<std::string, std::set<std::string>> tensors_of;
  for (const auto& [tensor, shard] : weight_map.items()) {
    if (!shard.is_string()) {
      throw UserError("{}: tensor '{}' lies in {}, want a file name", index, tensor, to_line(shard));
    }
    tensors_of[shard.get<std::string>()].insert(tensor);
  }

  std::vector<Shard> shards;
  for (const auto& [shard, tensors] : tensors_of) {
    const fs::path path = path_inside(folder, shard, index);
    if (!may_exist(path)) {
      throw UserError("{}: names the file '{}' for {} tensors, but it is missing; an incomplete download?",
                      index, shard, tensors.size());
    }
    shards.push_back({SafetensorsFile::open(path), shard});
    const SafetensorsFile& file = *shards.back().file;
    for (const std::string& tensor : tensors) {
      if (!file.has(tensor)) {
        throw UserError("{}: tensor '{}' should lie in '{}', which does not have it", index, tensor, shard);
      }
    }
    for (const TensorEntry& entry : file.entries()) {
      if (!tensors.contains(entry.name)) {
        throw UserError("{}: '{}' has a tensor '{}' that is not listed for it; do the files belong together?",
                        index, shard, entry.name);
      }
    }
  }
  return shards;
}

/// A proof asks for the hash of the same half gigabyte in each of its cells. A file that was written since has another time.
std::string remembered_sha256(const fs::path& file) {
  static std::mutex mutex;
  static std::map<std::tuple<fs::path, uintmax_t, fs::file_time_type>, std::string> known;
  const auto key = std::tuple(fs::canonical(file), fs::file_size(file), fs::last_write_time(file));
  const std::lock_guard lock(mutex);
  auto found = known.find(key);
  if (found == known.end()) found = known.emplace(key, sha256_file(file)).first;
  return found->second;
}

}  // namespace

ModelFolder ModelFolder::open(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path / kConfig, error)) refuse_without_config(path);
  ModelFolder folder;
  folder.path_ = path;
  folder.config_ = read_json(path / kConfig);
  if (!folder.config_.is_object()) {
    throw UserError("{}: is {}, want an object", (path / kConfig).string(), to_line(folder.config_));
  }

  if (may_exist(path / kWeights)) {  // before an index, as transformers does
    folder.files_.push_back(SafetensorsFile::open(path / kWeights));
  } else if (may_exist(path / kIndex)) {
    for (const Shard& shard : open_shards(path)) folder.files_.push_back(shard.file);
  } else {
    refuse_without_weights(path);
  }
  for (const auto& file : folder.files_) {
    for (const TensorEntry& entry : file->entries()) {
      folder.entries_.push_back(entry);
      folder.file_of_[entry.name] = file;
    }
  }
  return folder;
}

Tensor ModelFolder::tensor(const std::string& name) const {
  const auto found = file_of_.find(name);
  if (found == file_of_.end()) throw UserError("{}: has no tensor '{}'", path_.string(), name);
  return found->second->tensor(name);
}

std::string ModelFolder::sha256() const {
  std::string lines = fmt::format("{}  {}\n", remembered_sha256(path_ / kConfig), kConfig);
  for (const auto& file : files_) {
    const std::string name = file->path().lexically_relative(path_).string();
    lines += fmt::format("{}  {}\n", remembered_sha256(file->path()), name);
  }
  return caltrop::sha256(lines);
}

Json generation_config(const fs::path& folder) {
  const fs::path path = folder / "generation_config.json";
  return may_exist(path) ? read_json(path) : Json();
}

}  // namespace caltrop
