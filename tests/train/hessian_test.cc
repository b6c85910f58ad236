#include "caltrop/train/hessian.h"

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

class HessianTest : public testing::Test {
 protected:
  std::shared_ptr<Model> model = test::tiny_model();
  Step step = test::make_step(*model, {"a"}, 4, 4);
  const Measured here = step.measure("a", answer_loss());
  Gradients direction;

  void SetUp() override {
    at::manual_seed(9);
    for (const auto& [name, parameter] : model->parameters())
      direction.push_back(at::randn_like(parameter).detach());
    const double length = global_norm(direction).item<double>();
    for (const Tensor& d : direction) d.div_(length);
  }
  HessianProduct product(const std::string& how, double epsilon) {
    HessianOptions options;
    options.hessian = how, options.epsilon = epsilon;
    return HessianProduct(step, "a", answer_loss(), here, direction, options);
  }
};

TEST_F(HessianTest, DifferencesApproachTheExactProduct) {
  const NamedTensors before = test::copy_of(model->parameters());
  const Gradients exact = step.hessian_product("a", answer_loss(), direction);
  EXPECT_EQ(test::difference(product("exact", 1)(), exact), 0);
  EXPECT_LE(test::difference(product("fd_paper", 1e-2)(), exact), 0.05);
  EXPECT_LE(test::difference(product("fd_scaled", 5e-4)(), exact), 0.05);
  EXPECT_LE(test::difference(product("fd_central", 2e-3)(), exact), 0.02);
  EXPECT_TRUE(test::same_bits(model->parameters(), before));
}

TEST_F(HessianTest, TheCheckTellsNoiseFromAProduct) {
  const auto sound = product("fd_scaled", 5e-4).check();
  EXPECT_GT(sound.moved, 0.99);
  EXPECT_GT(sound.agreement, 0.99);
  const auto noise = product("fd_paper", 1e-9).check();
  EXPECT_FALSE(noise.moved > 0.9 && noise.agreement > 0.9);
}

}  // namespace
}  // namespace caltrop
