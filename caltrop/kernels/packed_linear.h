// A matrix held in the layout that multiplies few rows fastest: decoding uses each weight thousands of times
// between changes.
#pragma once

#include "caltrop/kernels/panel_tiles.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// x W^T for a constant W. On the CPU W is kept as panels of outputs, which one pass reads in order while the next piece is being
/// fetched: in fp32, and in bf16 where the processor multiplies it (AMX, AVX-512 BF16). Elsewhere it is apply_linear (linear.h).
/// No gradients. Tested by tests/kernels/packed_linear_test.cc.
class PackedLinear {
 public:
  PackedLinear() = default;
  /// weight [out,in].
  explicit PackedLinear(const Tensor& weight);
  /// By these tiles, which must be for its dtype; null: by apply_linear.
  PackedLinear(const Tensor& weight, const PanelTiles* tiles);

  /// x [rows,in] -> [rows,out], in the dtype of x. Products are of x rounded to the dtype of W; on the CPU sums are fp32.
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor weight_;  // [out,in], or packed: [panels,words of a row,outputs of a panel] in words of 32 bits
  int64_t outputs_ = 0;
  at::ScalarType dtype_ = at::kFloat;
  const PanelTiles* tiles_ = nullptr;
};

}  // namespace caltrop
