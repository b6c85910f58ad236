// Files as Caltrop wants them: whole reads, atomic writes, maps, hashes, paths that stay inside their folder.
// Tested by tests/base/files_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace caltrop {

/// The bytes of a file. Throws UserError with the system's reason.
std::string read_file(const std::filesystem::path& path);

/// Writes a file so that a reader, and a crash at any moment, sees the old bytes or the new ones: a temporary
/// name beside it, fsync, rename, fsync of the folder. Throws UserError (a full disk too), and then leaves
/// nothing behind.
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// The same for bytes that come in pieces: `fill(sink)` calls `sink(bytes)` any number of times.
using Sink = std::function<void(std::string_view)>;
void write_file(const std::filesystem::path& path, const std::function<void(const Sink&)>& fill);

/// A read-only file mapped privately: writing into the map never reaches the file. Thread-safe to read.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, void* data, size_t size);
  std::filesystem::path path_;
  void* data_;
  size_t size_;
};

/// SHA-256 in lower-case hex.
std::string sha256(std::string_view bytes);
std::string sha256_file(const std::filesystem::path& path);

/// `folder / name`, where `name` comes from a file that we do not trust. Throws UserError if it is absolute
/// or leaves the folder ("../../etc/passwd").
std::filesystem::path path_inside(const std::filesystem::path& folder, const std::string& name,
                                  const std::string& named_by);

}  // namespace caltrop
