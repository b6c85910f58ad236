#include "caltrop/kernels/cast.h"

#include <limits>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(ToFp32, IsAtensCastBitForBit) {
  at::manual_seed(1);
  for (const int64_t count : {0, 7, (1 << 17) - 1, 1 << 17, (1 << 17) + 13, 300'001}) {
    Tensor x = at::randn({count}).to(at::kBFloat16);
    if (count > 4) {
      x[0] = std::numeric_limits<float>::infinity(), x[1] = std::numeric_limits<float>::quiet_NaN(),
      x[2] = -0.0;
      x[count - 1] = 1e-40;
    }
    const Tensor ours = to_fp32(x), atens = x.to(at::kFloat);
    ASSERT_EQ(ours.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(ours.view(at::kInt), atens.view(at::kInt))) << count;
  }
}

TEST(ToFp32, TakesWhatIsNotContiguousAndWhatIsNotBf16) {
  const Tensor x = at::randn({700, 500}).to(at::kBFloat16);
  EXPECT_TRUE(at::equal(to_fp32(x.t()), x.t().to(at::kFloat)));
  const Tensor wide = at::randn({700, 500}, at::kDouble);
  EXPECT_TRUE(at::equal(to_fp32(wide), wide.to(at::kFloat)));
}

TEST(ToFp32, KeepsTheGraph) {
  const Tensor x = at::randn({700, 500}).to(at::kBFloat16).requires_grad_(true);
  torch::autograd::backward({to_fp32(x).square().sum()}, {});
  EXPECT_TRUE(at::equal(x.grad(), (2 * x.to(at::kFloat)).to(at::kBFloat16)));
}

}  // namespace
}  // namespace caltrop
