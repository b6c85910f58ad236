#include "caltrop/kernels/packed_linear.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/panel_tiles.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

/// Every number of rows in a tile, whole and broken panels, several pieces of depth, odd inputs.
void expect_products(at::ScalarType dtype, double tolerance) {
  at::manual_seed(1);
  for (const int64_t inputs : {1, 7, 64, 431}) {
    for (const int64_t outputs : {1, 32, 77}) {
      const Tensor weight = at::randn({outputs, inputs}).to(dtype);
      const PackedLinear packed(weight);
      for (int64_t rows = 1; rows <= 27; ++rows) {
        const Tensor x = at::randn({rows, inputs});
        const Tensor product = packed(x);
        ASSERT_EQ(product.scalar_type(), at::kFloat);
        ASSERT_TRUE(product.is_contiguous()) << "decode_attention reads whole rows";
        const Tensor exact = at::linear(x.to(dtype).to(at::kDouble), weight.to(at::kDouble));
        const double apart = (product.to(at::kDouble) - exact).abs().max().item<double>();
        EXPECT_LE(apart, tolerance * exact.abs().max().item<double>())
            << rows << " rows, " << inputs << " inputs, " << outputs << " outputs";
      }
    }
  }
}

TEST(PackedLinear, IsTheProductInFp32) { expect_products(at::kFloat, 2e-6); }

TEST(PackedLinear, IsTheProductOfBf16NumbersSummedInFp32) {
  // Where the processor has no instruction for it ATen multiplies, and rounds the sums to bf16.
  expect_products(at::kBFloat16, panel_tiles(at::kBFloat16) != nullptr ? 2e-6 : 5e-3);
}

TEST(PackedLinear, AnswersInTheDtypeThatItIsAsked) {
  const PackedLinear packed(at::ones({4, 8}, at::kBFloat16));
  EXPECT_EQ(packed(at::ones({2, 8}, at::kBFloat16)).scalar_type(), at::kBFloat16);
  EXPECT_EQ(packed(at::ones({2, 8})).sum().item<float>(), 64);
}

}  // namespace
}  // namespace caltrop
