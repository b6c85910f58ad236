#include "caltrop/kernels/adamw.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(AdamW, IsAtensWithClippedGradients) {
  at::manual_seed(1);
  const auto scaled = [](const std::vector<Tensor>& from, double scale) {
    std::vector<Tensor> to;
    for (const Tensor& x : from) to.push_back(x * scale);
    return to;
  };
  std::vector<Tensor> weights{at::randn({129, 31}), at::randn({70001})}, means = scaled(weights, 0),
                                                                         squares = means;
  for (Tensor& x : squares) x = x.clone();
  std::vector<Tensor> weights2 = scaled(weights, 1), means2 = scaled(means, 1), squares2 = scaled(squares, 1);
  const std::vector<Tensor> casts{Tensor(), at::empty({70001}, at::kBFloat16)};
  for (int64_t number = 1; number <= 5; ++number) {
    const std::vector<Tensor> gradients{at::randn({129, 31}) * 3, at::randn({70001}) * 1e-3};
    const std::vector<Tensor> before = scaled(gradients, 1);
    adamw_step(weights, gradients, means, squares,
               {.number = number,
                .learning_rate = 1e-2,
                .beta1 = 0.9,
                .beta2 = 0.95,
                .epsilon = 1e-8,
                .weight_decay = 0.1,
                .gradient_scale = 0.3},
               casts);
    EXPECT_TRUE(at::equal(casts[1], weights[1].to(at::kBFloat16)));
    EXPECT_TRUE(at::equal(gradients[0], before[0])) << "gradients stay";
    const std::vector<Tensor> count(2, at::scalar_tensor(static_cast<double>(number), at::kFloat));
    at::_fused_adamw_(weights2, scaled(gradients, 0.3), means2, squares2, {}, count, 1e-2, 0.9, 0.95, 0.1,
                      1e-8, false, false);
  }
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::allclose(weights[i], weights2[i], 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(means[i], means2[i], 1e-4, 1e-7));
    EXPECT_TRUE(at::allclose(squares[i], squares2[i], 1e-4, 1e-12));
  }
}

}  // namespace
}  // namespace caltrop
