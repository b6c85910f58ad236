#include "caltrop/run/failure.h"

#include <new>
#include <system_error>

#include <ATen/ATen.h>

#include "caltrop/record/run_dir.h"
#include "caltrop/tensor/host_memory.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Failure, WrongInputAndWhatTheMachineRefusesAreExplainedAndNothingElseIs) {
  EXPECT_EQ(failure_of([] {}), "");
  EXPECT_EQ(failure_of([] { throw UserError("no such thing"); }), "no such thing");
  EXPECT_THAT(failure_of([] { throw std::system_error(ENOSPC, std::generic_category(), "model"); }),
              testing::StartsWith("model: No space left"));
  EXPECT_THAT(failure_of([] { throw std::bad_alloc(); }),
              testing::StartsWith("there is not enough memory\nA smaller train.micro_batch"));
  const std::string on_a_device =
      failure_of([] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory."); });
  EXPECT_THAT(on_a_device, testing::StartsWith("CUDA out of memory."));
  EXPECT_THAT(on_a_device, testing::EndsWith("--batch."));
  EXPECT_THAT(on_a_device, testing::Not(testing::HasSubstr("frame #")));
  EXPECT_THAT(failure_of([] { TORCH_CHECK(false, "DefaultCPUAllocator: not enough memory"); }),
              testing::HasSubstr("A smaller train.micro_batch"));
  allocate_tensors_plainly();
  EXPECT_THAT(failure_of([] { at::empty({int64_t{1} << 60}, at::kByte); }),
              testing::StartsWith(
                  "no memory for a tensor of 1152921504606846976 bytes\nA smaller train.micro_batch"));
  const auto of_device = [](int32_t code) {
    return failure_of([code] {
      throw c10::AcceleratorError(
          {"f", "f.cc", 1}, code,
          "CUDA error: all CUDA-capable devices are busy or unavailable\nFor debugging "
          "consider passing CUDA_LAUNCH_BLOCKING=1");
    });
  };
  EXPECT_EQ(
      of_device(46),
      "the GPU refuses to work: CUDA error: all CUDA-capable devices are busy or unavailable\nnvidia-smi "
      "says what is there and who holds it; with device: cpu the same is computed without.");
  EXPECT_THAT(of_device(2), testing::HasSubstr("unavailable\nA smaller train.micro_batch"));
  EXPECT_THROW(of_device(700), c10::AcceleratorError) << "an illegal address is ours";
  EXPECT_THROW(failure_of([] { throw BusyRunDir("busy"); }), BusyRunDir);
  EXPECT_THROW(failure_of([] { throw std::logic_error("ours"); }), std::logic_error);
  EXPECT_THROW(failure_of([] { TORCH_CHECK(false, "shapes differ"); }), c10::Error);
}

}  // namespace
}  // namespace caltrop
