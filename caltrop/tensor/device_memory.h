// Memory of an accelerator, as its allocator counts it; that of the CPU is base/memory.h.
#pragma once

#include <cstdint>

#include <c10/core/Device.h>

namespace caltrop {

/// Peak bytes of this process's tensors on `device` since it began or since the last restart; 0 on the CPU.
int64_t peak_device_memory(c10::Device device);

/// Counts the peak anew, from what is in use now.
void restart_peak_device_memory(c10::Device device);

}  // namespace caltrop
