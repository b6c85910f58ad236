// GGUF, the model format of llama.cpp: a header, typed metadata, a table of tensors, and their data, often
// quantised in blocks. Versions 2 and 3, little-endian. Source: github.com/ggml-org/ggml, docs/gguf.md.
//
// As with safetensors, every length, offset and range is checked when the file is opened; after that, reading
// a tensor cannot fail. Tested by tests/io/gguf_test.cc and tests/io/mutation_test.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "caltrop/base/files.h"
#include "caltrop/base/json.h"
#include "caltrop/io/ggml_types.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// Where one tensor lies in its file, and how its numbers are stored.
struct GgufEntry {
  std::string name;
  GgmlType type;
  std::vector<int64_t> shape;  // row-major: GGUF's own list of dimensions, reversed
  uint64_t begin;              // byte range within the file: [begin, end)
  uint64_t end;
};

/// An open file. Immutable: any thread may read from it.
class GgufFile {
 public:
  /// Maps and checks the file. Throws UserError "<file>: …" with what was there and what was wanted, also for
  /// tensors of a type other than those of ggml_types.h.
  static std::shared_ptr<const GgufFile> open(const std::filesystem::path& path);

  /// The metadata as one JSON object, in file order; arrays are lists. 32-bit floats stand as the doubles
  /// that they are. Strings are bytes as they came, which need not be UTF-8.
  const Json& metadata() const { return metadata_; }
  /// In the order of the file's table.
  const std::vector<GgufEntry>& entries() const { return entries_; }
  const std::filesystem::path& path() const { return file_->path(); }
  bool has(const std::string& name) const { return index_.contains(name); }

  /// The tensor as fp32 on the CPU: in the mapping itself where it is stored so (see
  /// SafetensorsFile::tensor), otherwise dequantised, bit for bit as the Python package `gguf` does. Throws
  /// UserError for a name that the file does not have.
  Tensor tensor(const std::string& name) const;

 private:
  explicit GgufFile(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}

  std::shared_ptr<const MappedFile> file_;
  Json metadata_ = Json::object();
  std::vector<GgufEntry> entries_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace caltrop
