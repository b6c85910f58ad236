#include "caltrop/tensor/device_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

namespace caltrop {

int64_t peak_device_memory(c10::Device device) {
  if (device.is_cpu()) return 0;
  return c10::getDeviceAllocator(device.type())
      ->getDeviceStats(device.index())
      .allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)]
      .peak;
}

void restart_peak_device_memory(c10::Device device) {
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
}

}  // namespace caltrop
