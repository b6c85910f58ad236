#include "caltrop/kernels/math_mode.h"

#include <ATen/core/grad_mode.h>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {
thread_local bool math_mode = false;
}

MathMode::MathMode(bool enabled) : before_(math_mode) { math_mode = enabled; }
MathMode::~MathMode() { math_mode = before_; }
bool MathMode::enabled() { return math_mode; }

void refuse_double_backward(const char* op) {
  CALTROP_ASSERT(!at::GradMode::is_enabled(), "{} has no second derivative; compute under MathMode", op);
}

}  // namespace caltrop
