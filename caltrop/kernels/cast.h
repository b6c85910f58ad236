// Gradients in bf16 to fp32: the pass between the backward and the optimizer that touches every weight. Measured by
// `./run bench kernels`, tested by tests/kernels/cast_test.cc.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// `x` in fp32; any shape and dtype. Its graph is kept where gradients are recorded. On x86-64 a large bf16 tensor is written past the
/// caches, which its next reader would not find it in anyway: half the time of ATen's cast, which reads first what it overwrites.
Tensor to_fp32(const Tensor& x);

}  // namespace caltrop
