// A model as Hugging Face keeps it: a folder with config.json, the weights as model.safetensors or as several
// such files with an index, and texts beside them (tokenizer.json, generation_config.json, …).
// Tested by tests/io/model_folder_test.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/io/safetensors.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// An open folder. Immutable and cheap to copy: copies share the mapped files.
class ModelFolder {
 public:
  /// Reads config.json and opens all weight files. Throws UserError for anything missing, contradictory or
  /// outside the folder, and for pickles (pytorch_model.bin, *.pt, *.pth): loading one runs code that its
  /// author chose, so Caltrop never does.
  static ModelFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// config.json whole: all its keys, in its order.
  const Json& config() const { return config_; }
  /// All tensors: the files by name, each in file order. Byte ranges are within the tensor's own file.
  const std::vector<TensorEntry>& entries() const { return entries_; }
  bool has(const std::string& name) const { return file_of_.contains(name); }
  /// See SafetensorsFile::tensor. Throws UserError for a name that the folder does not have.
  Tensor tensor(const std::string& name) const;

  /// Identifies the model: what `sha256sum config.json model*.safetensors | sha256sum` prints in the folder.
  /// Reads every byte.
  std::string sha256() const;

 private:
  std::filesystem::path path_;
  Json config_;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;  // by name
  std::vector<TensorEntry> entries_;
  std::unordered_map<std::string, std::shared_ptr<const SafetensorsFile>> file_of_;
};

/// Texts that go beside the weights: file name and content.
using TextFiles = std::vector<std::pair<std::string, std::string>>;

inline constexpr int64_t kShardBytes = 5'000'000'000;

/// generation_config.json of the folder; null if there is none.
Json generation_config(const std::filesystem::path& folder);

/// Writes config.json (with the dtype of the weights in "torch_dtype"), generation_config.json (unless null), the weights and
/// `text_files` into a new folder, making its parents. Weights of more than `shard_bytes` are cut into files of at most so much (a larger
/// tensor stands alone) with an index. All is built in a folder beside `path` and renamed into place, so that
/// after a crash `path` is whole or not there. Throws UserError if `path` exists and is not an empty folder,
/// for two tensors of one name, and for what the disk says; nothing is left behind. What a killed process left of the same
/// folder is removed.
void write_model_folder(const std::filesystem::path& path, const Json& config, const Json& generation_config,
                        const NamedTensors& tensors, const TextFiles& text_files,
                        int64_t shard_bytes = kShardBytes);

}  // namespace caltrop
