#include "caltrop/tensor/host_memory.h"

#include <cstdint>
#include <cstdlib>

#include <c10/core/CPUAllocator.h>

namespace caltrop {
namespace {

constexpr uintptr_t kAlignment = 64;  // c10::gAlignment: what kernels count on

/// Before the first byte of each tensor stands the address that malloc gave.
void*& block_of(void* data) { return static_cast<void**>(data)[-1]; }

void release(void* data) {
  if (data != nullptr) std::free(block_of(data));
}

class PlainAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = nullptr;
    if (bytes > 0) {
      void* const block = std::malloc(sizeof(void*) + kAlignment + bytes);
      TORCH_CHECK_WITH(OutOfMemoryError, block != nullptr, "no memory for a tensor of ", bytes, " bytes");
      const uintptr_t first = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
      data = reinterpret_cast<void*>((first + kAlignment - 1) & ~(kAlignment - 1));
      block_of(data) = block;
    }
    return {data, data, &release, c10::DeviceType::CPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

}  // namespace

void allocate_tensors_plainly() {
  static PlainAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

}  // namespace caltrop
