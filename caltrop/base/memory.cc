#include "caltrop/base/memory.h"

#include <fstream>
#include <string>

#include <malloc.h>
#include <sys/resource.h>

namespace caltrop {

void keep_freed_memory() {
  ::mallopt(M_MMAP_MAX, 0);         // no block has a mapping of its own,
  ::mallopt(M_TRIM_THRESHOLD, -1);  // and the heap never shrinks
  ::mallopt(M_TOP_PAD, 64 << 20);   // it grows in large steps
}

int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  struct rusage usage{};  // of the whole process, whatever restart_peak_memory() did
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * int64_t{1024};
}

void restart_peak_memory() {
  ::malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5 << std::flush;
}

}  // namespace caltrop
