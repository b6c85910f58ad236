// x W^T, as at::linear, without what oneDNN does to a process that multiplies bf16 on the CPU: it compiles a program for each
// number of rows that it meets, keeps a thousand of them at half a megabyte each, and loses memory for the others. Chat rows have
// any number of tokens, so a long run would grow by gigabytes. Rows are padded with zeros to few sizes. Tested by
// tests/kernels/linear_test.cc.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// The size that `rows` rows are padded to: up to 8 are as they are, above 128 it is at most a sixteenth more, and there are sixteen sizes
/// between n and 2n.
int64_t padded_rows(int64_t rows);

/// x [rows,D] with zeros below, [padded_rows(rows),D], where it is bf16 on the CPU; otherwise x. No gradients.
Tensor pad_rows(const Tensor& x);

/// x [rows,in], weight [out,in] -> [rows,out]. Under MathMode at::linear.
Tensor apply_linear(const Tensor& x, const Tensor& weight);

}  // namespace caltrop
