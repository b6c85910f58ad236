#include "caltrop/tensor/host_memory.h"

#include <cstdint>

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include "caltrop/tensor/tensor.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(HostMemory, TensorsAreAlignedAndKeepWhatTheyHold) {
  const Tensor before = at::arange(1000);
  allocate_tensors_plainly();
  std::vector<Tensor> tensors;
  for (const int64_t count : {1, 7, 63, 64, 65, 4096, 1'000'003})
    tensors.push_back(at::full({count}, count % 251, at::kByte));
  for (const Tensor& tensor : tensors) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 64, 0u) << tensor.numel();
    EXPECT_TRUE(tensor.eq(tensor.numel() % 251).all().item<bool>()) << tensor.numel();
  }
  Tensor grown = tensors[2].clone();
  grown.resize_({100'000});
  EXPECT_TRUE(at::equal(grown.narrow(0, 0, 63), tensors[2]));
  EXPECT_EQ(at::empty({0}).data_ptr(), nullptr);
  EXPECT_EQ(before.sum().item<int64_t>(), 499'500) << "what was allocated before is freed as it was";
}

TEST(HostMemory, RawMemoryIsTakenAndGivenBack) {
  allocate_tensors_plainly();
  c10::Allocator* const allocator = c10::GetCPUAllocator();
  void* const raw = allocator->raw_allocate(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(raw) % 64, 0u);
  allocator->raw_deallocate(raw);
}

TEST(HostMemory, WhatTheMachineHasNotIsSaid) {
  allocate_tensors_plainly();
  try {
    at::empty({int64_t{1} << 60}, at::kByte);
    FAIL() << "there was memory for 2^60 bytes";
  } catch (const c10::OutOfMemoryError& error) {
    EXPECT_THAT(error.what_without_backtrace(),
                testing::StartsWith("no memory for a tensor of 1152921504606846976 bytes"));
  }
}

}  // namespace
}  // namespace caltrop
