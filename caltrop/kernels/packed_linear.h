// A matrix held in the layout that multiplies few rows fastest: decoding uses each weight thousands of times
// between changes.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// x W^T for a constant W. On the CPU in fp32 W is kept as panels of sixteen outputs, which one pass reads in order while the
/// next piece is being fetched; elsewhere it is apply_linear (linear.h). No gradients. Tested by tests/kernels/kernels_test.cc.
class PackedLinear {
 public:
  PackedLinear() = default;
  /// weight [out,in].
  explicit PackedLinear(const Tensor& weight);

  /// x [rows,in] -> [rows,out].
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor weight_;  // [out,in], or packed: [ceil(out/16),in,16]
  int64_t outputs_ = 0;
  bool packed_ = false;
};

}  // namespace caltrop
