#include "caltrop/run/failure.h"

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <system_error>

#include <c10/util/Exception.h>

#include "caltrop/base/error.h"
#include "caltrop/record/run_dir.h"

namespace caltrop {
namespace {

std::string lacks_memory(std::string_view what) {
  return fmt::format(
      "{}\nA smaller train.micro_batch needs less, and computes the same but for repnoise and tripwire; for "
      "generate, --batch.",
      what);
}

/// Whether an error of the CUDA runtime is of the machine: a driver or a GPU that is not there, broken, or kept by others. All other
/// codes are of what was asked of it (driver_types.h of CUDA, whose headers a build for the CPU does without).
bool is_of_the_machine(int32_t code) {
  constexpr std::array kCodes = {35 /*InsufficientDriver*/,
                                 46 /*DevicesUnavailable*/,
                                 100 /*NoDevice*/,
                                 201 /*DeviceUninitialized*/,
                                 214 /*ECCUncorrectable*/,
                                 802 /*SystemNotReady*/,
                                 803 /*SystemDriverMismatch*/,
                                 805 /*MpsConnectionFailed*/,
                                 806 /*MpsRpcFailure*/,
                                 807 /*MpsServerNotReady*/,
                                 808 /*MpsMaxClientsReached*/,
                                 809 /*MpsMaxConnectionsReached*/,
                                 810 /*MpsClientTerminated*/};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

/// cudaErrorMemoryAllocation, where it is not the allocator that meets it.
constexpr int32_t kCudaLacksMemory = 2;

}  // namespace

std::optional<std::string> explained(const std::exception& error) {
  if (dynamic_cast<const UserError*>(&error) != nullptr) return error.what();
  if (dynamic_cast<const std::system_error*>(&error) != nullptr) return error.what();
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return lacks_memory("there is not enough memory");
  if (const auto* of_torch = dynamic_cast<const c10::Error*>(&error)) {
    const std::string_view what = of_torch->what_without_backtrace();
    // Of a host that does not allocate_tensors_plainly(): ATen has no type for an allocation that fails on the CPU.
    if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
        what.find("DefaultCPUAllocator") != std::string_view::npos)
      return lacks_memory(what);
    if (const auto* of_device = dynamic_cast<const c10::AcceleratorError*>(&error)) {
      const std::string_view first_line =
          what.substr(0, what.find('\n'));  // advice for PyTorch's users follows
      if (of_device->get_error_code() == kCudaLacksMemory) return lacks_memory(first_line);
      if (is_of_the_machine(of_device->get_error_code())) {
        return fmt::format(
            "the GPU refuses to work: {}\nnvidia-smi says what is there and who holds it; with device: cpu "
            "the same is computed without.",
            first_line);
      }
    }
  }
  return std::nullopt;
}

std::string failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const BusyRunDir&) {
    throw;
  } catch (const std::exception& error) {
    if (const std::optional<std::string> why = explained(error)) return *why;
    throw;
  }
  return "";
}

}  // namespace caltrop
