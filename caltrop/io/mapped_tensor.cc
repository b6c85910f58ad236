#include "caltrop/io/mapped_tensor.h"

#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

namespace caltrop {

Tensor mapped_tensor(std::shared_ptr<const MappedFile> file, uint64_t begin,
                     const std::vector<int64_t>& shape, at::ScalarType dtype) {
  const at::TensorOptions options = at::TensorOptions().dtype(dtype);
  // The mapping is private and writable (base/files.h), hence the cast.
  auto* data = const_cast<std::byte*>(file->bytes().data()) + begin;
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(dtype) != 0) {
    Tensor copy = at::empty(shape, options);
    if (copy.nbytes() > 0) std::memcpy(copy.data_ptr(), data, copy.nbytes());
    return copy;
  }
  return at::from_blob(data, shape, [kept = std::move(file)](void*) {}, options);
}

std::optional<int64_t> checked_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  bool empty = false;  // a zero anywhere makes the product zero, but only if the others are sound
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, size, &count)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : count;
}

std::string likely_cause(const MappedFile& file) {
  const std::string_view head(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (head.empty()) return "; it is empty";
  if (head.starts_with("version https://git-lfs")) {
    return "; it is a Git LFS pointer, not the file itself: run `git lfs pull` where it came from";
  }
  if (head.starts_with("<")) return "; it is a web page, perhaps a download's error message";
  if (head.starts_with("PK\x03\x04") || head.starts_with("\x80\x02")) {
    return "; it may be a Python pickle (torch.save), which Caltrop never loads";
  }
  if (head.starts_with("GGUF")) return "; it is a GGUF file";
  return "";
}

}  // namespace caltrop
