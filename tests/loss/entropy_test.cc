#include "caltrop/loss/entropy.h"

#include <cmath>

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(EntropyLoss, IsLogVForUniformAndZeroForCertainPredictions) {
  LossInputs in;
  in.hidden = at::tensor({0.0f, 1.0f}).view({2, 1});
  in.head = at::zeros({8, 1});
  in.head[3][0] = 200;
  in.labels = at::zeros({2}, at::kLong);
  const Total total = entropy_loss().total(in);
  EXPECT_NEAR(total.sum.item<double>(), std::log(8.0), 1e-5)
      << "the first position is uniform, the second certain";
  EXPECT_EQ(total.count, 2);
}

}  // namespace
}  // namespace caltrop
