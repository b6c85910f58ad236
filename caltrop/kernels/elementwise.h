// RMSNorm and SwiGLU, with hand-written gradients on the CPU in fp32 and bf16 (computed in fp32), ATen's elsewhere.
// Tested by tests/kernels/kernels_test.cc against the plain compositions and finite differences.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// x * rsqrt(mean(x^2) + epsilon) * weight over the last dimension, computed in fp32 (Zhang, Sennrich 2019).
/// x [N,D], weight [D] -> [N,D] in x's dtype.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon);

/// silu(gate) * up (Shazeer 2020). gate, up [N,F] -> [N,F].
Tensor swiglu(const Tensor& gate, const Tensor& up);

}  // namespace caltrop
