#include "caltrop/run/failure.h"

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
