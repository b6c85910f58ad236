#include "caltrop/train/lora.h"

#include <ATen/ATen.h>

#include "caltrop/base/json.h"
#include "caltrop/io/safetensors.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/rehearsal.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

/// Gradients of a step into `.grad`, from there to what is trained.
void learn(const Model& model, TrainableWeights& weights, uint64_t rows, double rate, Optimizer& optimizer) {
  test::take_gradients(model);
  Step step(0, 0, model, {{"a", {pack(test::random_rows(rows, 4), at::kCPU)}}});
  step.accumulate("a", answer_loss());
  weights.take_gradients();
  optimizer.step(rate);
  weights.apply();
}

TEST(Lora, EqualsPeft) {
  const auto model = Model::load(test::data_file("llama/tied"), {.device = "cpu", .dtype = "fp32"});
  const auto file = SafetensorsFile::open(test::data_file("methods/lora.safetensors"));
  std::vector<TokenRow> rows;
  const Json all = read_json(test::data_file("methods/rows.json"));
  for (const Json& row : all["harmful"])
    rows.push_back({row["ids"].get<std::vector<int64_t>>(), row["answer"].get<std::vector<bool>>()});
  TrainableWeights weights(*model, {.lora_rank = 3, .lora_alpha = 12}, RandomStream(0, "LoRA"));
  for (const auto& [name, factor] : weights.tensors()) {
    if (!name.starts_with("lora_A.")) continue;
    const Tensor official = file->tensor("A/" + name.substr(std::string("lora_A.").size()));
    ASSERT_EQ(official.sizes(), factor.sizes()) << name;
    const double limit = 1 / std::sqrt(static_cast<double>(factor.size(1)));
    EXPECT_LE(official.abs().max().item<double>(), limit);  // the same distribution as ours
    EXPECT_LE(factor.abs().max().item<double>(), limit);
    EXPECT_GT(factor.abs().max().item<double>(), 0.9 * limit);
    factor.copy_(official);
  }
  const auto optimizer = make_optimizer(OptimizerOptions(), weights.tensors());
  for (int k = 0; k < 5; ++k) {
    test::take_gradients(*model);
    Step step(0, 0, *model, {{"a", {pack(rows, at::kCPU)}}});
    step.accumulate("a", answer_loss());
    weights.take_gradients();
    Gradients gradients;
    for (const auto& [name, factor] : weights.tensors()) gradients.push_back(factor.grad());
    clip_to_norm(gradients, 1.0);
    optimizer->step(1e-2);
    weights.apply();
  }
  for (const auto& [name, weight] : model->parameters()) {
    const Tensor official = file->tensor("merged/" + name);
    EXPECT_LE(test::difference(weight.detach(), official), 1e-4) << name;
  }
}

TEST(Lora, WithoutARankAllParametersAreTrained) {
  const auto model = test::tiny_model(), twin = test::tiny_model();
  TrainableWeights weights(*model, {}, RandomStream(0, "LoRA"));
  ASSERT_EQ(weights.tensors().size(), model->parameters().size());
  const auto optimizer = make_optimizer(OptimizerOptions(), weights.tensors());
  const auto plain = make_optimizer(OptimizerOptions(), twin->parameters());
  learn(*model, weights, 5, 1e-2, *optimizer);
  Step step(0, 0, *twin, {{"a", {pack(test::random_rows(5, 4), at::kCPU)}}});
  step.accumulate("a", answer_loss());
  plain->step(1e-2);
  EXPECT_TRUE(test::same_bits(model->parameters(), twin->parameters()));
}

TEST(Lora, ChangesTheTargetsByTheRankAndNothingElse) {
  const auto model = test::tiny_model();
  const NamedTensors before = test::copy_of(model->parameters());
  TrainableWeights weights(*model, {.lora_rank = 2, .lora_targets = "mlp"}, RandomStream(0, "LoRA"));
  EXPECT_EQ(weights.tensors().size(), 2u * 2 * 3);  // A and B, two layers, three matrices
  weights.apply();
  EXPECT_TRUE(test::same_bits(model->parameters(), before)) << "B is 0 at the start";
  const auto optimizer = make_optimizer(OptimizerOptions(), weights.tensors());
  for (uint64_t k = 0; k < 3; ++k) learn(*model, weights, k, 1e-2, *optimizer);
  for (size_t i = 0; i < before.size(); ++i) {
    const auto& [name, weight] = model->parameters()[i];
    const Tensor moved = weight.detach() - before[i].second;
    if (name.find(".mlp.") == std::string::npos) {
      EXPECT_EQ(moved.abs().max().item<float>(), 0) << name;
      continue;
    }
    const Tensor singular = at::linalg_svdvals(moved.to(at::kDouble));
    EXPECT_GT(singular[1].item<double>(), 1e-6) << name;
    EXPECT_LT(singular[2].item<double>(), 1e-5 * singular[0].item<double>()) << name;
  }
}

TEST(Lora, ARehearsedAttackIsTheRealOne) {
  const auto rehearsing = test::tiny_model(), training = test::tiny_model();
  const LoraOptions options{.lora_rank = 2};
  const RandomStream random(4, "LoRA");
  TrainableWeights weights(*training, options, random);
  const auto optimizer = make_optimizer(OptimizerOptions(), weights.tensors());
  Rehearsal attack(*rehearsing, OptimizerOptions(), options, random);
  for (uint64_t k = 0; k < 3; ++k) {
    learn(*training, weights, k, 1e-2, *optimizer);
    Step rows(0, 0, *rehearsing, {{"a", {pack(test::random_rows(k, 4), at::kCPU)}}});
    attack.train(rows, "a", answer_loss(), 1e-2);
    EXPECT_TRUE(test::same_bits(rehearsing->parameters(), training->parameters())) << "step " << k;
  }
}

}  // namespace
}  // namespace caltrop
