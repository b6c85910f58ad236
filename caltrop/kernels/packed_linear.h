// A matrix held in the layout that multiplies few rows fastest: decoding uses each weight thousands of times
// between changes.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// x W^T for a constant W. On the CPU in fp32 W is reordered once by oneDNN (measured on two AVX2 cores at 32
/// rows: 129 against 65 GFLOP/s for SmolLM2's head); elsewhere it is at::linear. No gradients.
class PackedLinear {
 public:
  PackedLinear() = default;
  /// weight [out,in]; `rows`: how many rows x will usually have.
  PackedLinear(const Tensor& weight, int64_t rows);

  /// x [rows,in] -> [rows,out].
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor weight_;
  bool packed_ = false;
};

}  // namespace caltrop
