#include "caltrop/kernels/packed_linear.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/amx_tiles.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

/// Every number of rows in a tile, whole and broken panels, several pieces of depth, odd inputs.
void expect_products(at::ScalarType dtype, const PanelTiles* tiles, double tolerance) {
  at::manual_seed(1);
  for (const int64_t inputs : {1, 7, 64, 431}) {
    for (const int64_t outputs : {1, 32, 77}) {
      const Tensor weight = at::randn({outputs, inputs}).to(dtype);
      const PackedLinear packed(weight, tiles);
      for (int64_t rows = 1; rows <= 35; ++rows) {
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

/// Decoding draws the same text whatever else is in the batch. ATen promises no such thing.
void expect_rows_apart(at::ScalarType dtype, const PanelTiles* tiles) {
  at::manual_seed(2);
  const PackedLinear packed(at::randn({40, 70}).to(dtype), tiles);
  const Tensor x = at::randn({50, 70}), all = packed(x);
  for (int64_t row = 0; row < 50; ++row)
    EXPECT_TRUE(at::equal(packed(x.narrow(0, row, 1)), all.narrow(0, row, 1))) << "row " << row;
}

void expect_tiles(at::ScalarType dtype, const PanelTiles* tiles) {
  expect_products(dtype, tiles, 2e-6);
  expect_rows_apart(dtype, tiles);
}

TEST(PackedLinear, IsTheProductInFp32) {
  ASSERT_NE(panel_tiles(at::kFloat), nullptr);
  expect_tiles(at::kFloat, panel_tiles(at::kFloat));
}

TEST(PackedLinear, IsTheProductOfBf16NumbersByATen) {
  expect_products(at::kBFloat16, nullptr, 5e-3);  // which rounds the sums to bf16
}

TEST(PackedLinear, IsTheProductOfBf16NumbersSummedInFp32ByAvx512) {
  if (avx512_bf16_tiles() == nullptr) GTEST_SKIP() << "this processor has no AVX-512 BF16";
  expect_tiles(at::kBFloat16, avx512_bf16_tiles());
}

TEST(PackedLinear, IsTheProductOfBf16NumbersSummedInFp32ByAmx) {
  if (amx_tiles() == nullptr) GTEST_SKIP() << "this processor has no AMX";
  expect_tiles(at::kBFloat16, amx_tiles());
}

TEST(PackedLinear, AnswersInTheDtypeThatItIsAsked) {
  const PackedLinear packed(at::ones({4, 8}, at::kBFloat16));
  EXPECT_EQ(packed(at::ones({2, 8}, at::kBFloat16)).scalar_type(), at::kBFloat16);
  EXPECT_EQ(packed(at::ones({2, 8})).sum().item<float>(), 64);
}

}  // namespace
}  // namespace caltrop
