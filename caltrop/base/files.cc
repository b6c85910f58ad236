#include "caltrop/base/files.h"

#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caltrop/base/error.h"
#include "caltrop/base/folders.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

std::string reason() { return std::strerror(errno); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw UserError("{}: cannot write: {}", path.string(), reason());
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(const void* data, size_t size) { EVP_DigestUpdate(context_, data, size); }
  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_, digest, &size);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  EVP_MD_CTX* context_;
};

}  // namespace

std::string read_file(const fs::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) throw UserError("{}: cannot open: {}", path.string(), reason());
  std::string bytes;
  struct stat status{};
  if (::fstat(fd.get(), &status) == 0 && status.st_size > 0)
    bytes.reserve(static_cast<size_t>(status.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw UserError("{}: cannot read: {}", path.string(), reason());
    if (count == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(count));
  }
}

void write_file(const fs::path& path, std::string_view bytes) {
  write_file(path, [&](const Sink& sink) { sink(bytes); });
}

void write_file(const fs::path& path, const std::function<void(const Sink&)>& fill) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  // A name for this call alone: threads share a pid, and so may processes of two hosts on one share.
  const fs::path temporary =
      folder / fmt::format(".{}.{}-{:08x}.tmp", path.filename().string(), ::getpid(), std::random_device()());
  Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (fd.get() < 0) throw UserError("{}: cannot create: {}", path.string(), reason());
  try {
    fill([&](std::string_view bytes) { write_all(fd.get(), bytes, path); });
    if (::fsync(fd.get()) != 0) throw UserError("{}: cannot write: {}", path.string(), reason());
    if (::close(fd.release()) != 0) throw UserError("{}: cannot write: {}", path.string(), reason());
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw UserError("{}: cannot rename {} to it: {}", path.string(), temporary.string(), reason());
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(folder);
}

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) throw UserError("{}: cannot open: {}", path.string(), reason());
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw UserError("{}: cannot read: {}", path.string(), reason());
  if (!S_ISREG(status.st_mode)) throw UserError("{}: is not a regular file", path.string());
  const auto size = static_cast<size_t>(status.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) throw UserError("{}: cannot map {} bytes: {}", path.string(), size, reason());
    ::madvise(data, size, MADV_WILLNEED);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, data, size));
}

MappedFile::MappedFile(fs::path path, void* data, size_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.hex();
}

std::string sha256_file(const fs::path& path) {
  const auto file = MappedFile::open(path);
  Sha256 hash;
  hash.add(file->bytes().data(), file->bytes().size());
  return hash.hex();
}

fs::path path_inside(const fs::path& folder, const std::string& name, const std::string& named_by) {
  const fs::path relative = fs::path(name).lexically_normal();
  if (name.empty() || relative.is_absolute() || *relative.begin() == "..") {
    throw UserError("{}: names the file '{}', which lies outside {}", named_by, name, folder.string());
  }
  return folder / relative;
}

}  // namespace caltrop
