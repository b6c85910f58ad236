#include "caltrop/kernels/linear.h"

#include <set>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/math_mode.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Linear, FewSizesAndLittleWaste) {
  std::set<int64_t> sizes;
  for (int64_t rows = 1; rows <= 4096; ++rows) {
    const int64_t padded = padded_rows(rows);
    sizes.insert(padded);
    ASSERT_GE(padded, rows);
    ASSERT_LE(padded - rows, std::max<int64_t>(7, rows / 16)) << rows;
    ASSERT_EQ(padded_rows(padded), padded) << rows;
  }
  EXPECT_LE(sizes.size(), 110u);
}

// Against ATen in the same dtype: values and both gradients, at sizes that are padded and one that is not.
TEST(Linear, IsAtensInBfloatAndInFp32) {
  at::manual_seed(1);
  for (const auto dtype : {at::kBFloat16, at::kFloat}) {
    for (const int64_t rows : {1, 3, 64, 301}) {
      const Tensor x = at::randn({rows, 48}).to(dtype), w = at::randn({20, 48}).to(dtype),
                   dy = at::randn({rows, 20}).to(dtype);
      const auto run = [&](bool math) {
        const MathMode mode(math);
        const Tensor input = x.clone().requires_grad_(), weight = w.clone().requires_grad_();
        const Tensor y = apply_linear(input, weight);
        auto results = torch::autograd::grad({y}, {input, weight}, {dy});
        results.push_back(y.detach());
        return results;
      };
      const auto ours = run(false), theirs = run(true);
      for (size_t i = 0; i < ours.size(); ++i) {
        EXPECT_EQ(ours[i].sizes(), theirs[i].sizes());
        EXPECT_EQ(ours[i].scalar_type(), dtype);
        EXPECT_TRUE(at::allclose(ours[i].to(at::kFloat), theirs[i].to(at::kFloat), 1e-2, 1e-2))
            << rows << " " << i;
      }
    }
  }
}

TEST(Linear, OnlyWhatIsAskedForHasAGradient) {
  const Tensor x = at::randn({5, 8}).to(at::kBFloat16),
               w = at::randn({4, 8}).to(at::kBFloat16).requires_grad_();
  apply_linear(x, w).sum().backward();
  EXPECT_TRUE(at::allclose(w.grad().to(at::kFloat), x.to(at::kFloat).sum(0).expand({4, 8}), 1e-2, 1e-2));
}

}  // namespace
}  // namespace caltrop
