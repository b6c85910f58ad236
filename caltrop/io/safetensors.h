// The safetensors format: eight bytes with the length of a header, the header (JSON: name -> dtype, shape,
// byte range), and one buffer that the tensors fill without holes or overlaps, row-major and little-endian.
// Source: github.com/huggingface/safetensors, README "Format".
//
// A file that comes from elsewhere may lie. Every rule of the format is checked when it is opened, before any
// data is touched and with arithmetic that cannot overflow; after that, reading a tensor cannot fail.
// Tested by tests/io/safetensors_test.cc and tests/io/mutation_test.cc, with files of the Python wheel.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "caltrop/base/files.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// Where one tensor lies in its file.
struct TensorEntry {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin;  // byte range within the file: [begin, end)
  uint64_t end;
};

/// An open file. Immutable: any thread may read from it.
class SafetensorsFile {
 public:
  /// Maps and checks the file; reads F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL. Throws UserError
  /// "<file>: tensor '<name>': …" for a broken rule or another dtype.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);

  /// In file order, that is by byte range.
  const std::vector<TensorEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return file_->path(); }
  bool has(const std::string& name) const { return index_.contains(name); }

  /// A CPU tensor that lies in the mapping itself (in a copy where the file does not align it) and keeps it
  /// alive. Writing into it never reaches the file, but other tensors of the same name see it. Throws
  /// UserError for a name that the file does not have.
  Tensor tensor(const std::string& name) const;

 private:
  explicit SafetensorsFile(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}

  std::shared_ptr<const MappedFile> file_;
  std::vector<TensorEntry> entries_;
  std::unordered_map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

/// Writes the very bytes that the reference would: by dtype, largest first, then by name, and data from a
/// multiple of 8 bytes on. Atomic (base/files.h). Tensors elsewhere than on the CPU come through it one at a
/// time. Throws UserError for two equal names and for a dtype that the format or our reader lacks.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace caltrop
