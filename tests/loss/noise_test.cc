#include "caltrop/loss/noise.h"

#include <cmath>

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Mmd, OfASampleWithItselfIsZero) {
  at::manual_seed(1);
  const Tensor x = at::randn({6, 10});
  EXPECT_NEAR(mmd(x, x).item<double>(), 0, 1e-6);
}

TEST(Mmd, OfSinglePointsIsTheClosedForm) {
  const Tensor x = at::zeros({1, 2}), y = at::tensor({3.0f, 4.0f}).view({1, 2});
  // Two points: the mean off-diagonal squared distance is 25, the bandwidth 25/4 * 2^i.
  double kernels = 0;
  for (int i = 0; i < 5; ++i) kernels += std::exp(-4.0 / (1 << i));
  EXPECT_NEAR(mmd(x, y).item<double>(), 2 * 5 - 2 * kernels, 1e-5);
}

TEST(Mmd, GrowsWithTheDistance) {
  at::manual_seed(1);
  const Tensor x = at::randn({20, 3}), y = at::randn({20, 3});
  EXPECT_LT(mmd(x, y).item<double>(), mmd(x, y + 1).item<double>());
  EXPECT_LT(mmd(x, y + 1).item<double>(), mmd(x, y + 3).item<double>());
}

TEST(NoiseLoss, IsTheMeanOverLayersOfFlattenedRows) {
  at::manual_seed(1);
  LossInputs in;
  in.hidden = at::zeros({5, 4});
  in.rows = at::tensor({0, 0, 1, 1, 1}, at::kLong);
  in.row_count = 2;
  in.mlp_outputs = {at::randn({5, 4}), at::randn({5, 4})};
  const std::vector<Tensor> noise = {at::randn({5, 4}), at::randn({5, 4})};
  // Row 0 has two tokens of three: its third is zero on both sides.
  const auto flat = [](const Tensor& x) {
    Tensor rows = at::zeros({2, 12});
    rows[0].narrow(0, 0, 8).copy_(x.narrow(0, 0, 2).flatten());
    rows[1].copy_(x.narrow(0, 2, 3).flatten());
    return rows;
  };
  double expected = 0;
  for (int layer = 0; layer < 2; ++layer)
    expected += mmd(flat(in.mlp_outputs[layer]), flat(noise[layer])).item<double>() / 2;
  const Total total =
      noise_loss([&](int64_t, int64_t layer, const Tensor&) { return noise[layer]; }).total(in);
  EXPECT_EQ(total.count, 2);
  EXPECT_NEAR(total.sum.item<double>() / 2, expected, 1e-5);
}

}  // namespace
}  // namespace caltrop
