// A GPU computes what the CPU computes. Skipped, and said so, where torch finds none.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/token_nll.h"
#include "caltrop/model/decoder.h"
#include "caltrop/tensor/device_memory.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

std::shared_ptr<Model> load(const std::string& device, const std::string& dtype) {
  return Model::load(test::data_file("llama/tied"), {.device = device, .dtype = dtype});
}

/// Two rows with three tokens in common, and one of its own.
PackedTokens shared_rows(at::Device device) {
  PackedTokens tokens{at::tensor({3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7}, at::kLong).to(device),
                      at::tensor({0, 1, 2, 3, 4, 5, 3, 4, 0, 1, 2, 3, 4, 5}, at::kLong).to(device),
                      {{0, 3, -1, 0}, {3, 3, 0, 3}, {6, 2, 0, 3}, {8, 6, -1, 0}}};
  tokens.visible = visibility(tokens);
  return tokens;
}

/// The loss over the packed rows, and the gradients of all parameters, on the CPU.
std::vector<Tensor> loss_and_gradients(const Model& model) {
  const PackedTokens tokens = shared_rows(model.device());
  const Tensor loss = token_nll(model.forward(tokens), model.head(), tokens.ids).mean();
  torch::autograd::backward({loss}, {});
  std::vector<Tensor> all{loss.detach().cpu()};
  for (const auto& [name, parameter] : model.parameters()) all.push_back(parameter.grad().cpu());
  return all;
}

class OnAGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "this torch finds no GPU";
  }
};

TEST_F(OnAGpu, LossAndGradientsAreThoseOfTheCpu) {
  const std::vector<Tensor> cpu = loss_and_gradients(*load("cpu", "fp32")),
                            gpu = loss_and_gradients(*load("cuda", "fp32")),
                            gpu_bf16 = loss_and_gradients(*load("cuda", "bf16"));
  for (size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_LE(test::difference(gpu[i], cpu[i]), 1e-4) << i;
    EXPECT_LE(test::difference(gpu_bf16[i], cpu[i]), 0.1) << i << " in bf16";
  }
}

TEST_F(OnAGpu, DecodingIsThatOfTheCpu) {
  const at::NoGradGuard no_grad;
  const auto next = [](const char* device) {
    const auto model = load(device, "fp32");
    Decoder decoder(*model, 4, 16);
    // Rows 0 1 and 3 of the batch, in slots 3 and 1; then a token for each, and one more for the second.
    decoder.prefill(shared_rows(model->device()), {{0, 1, 2, 3, 4, 5}, {8, 9, 10, 11, 12, 13}}, {3, 1});
    const Tensor both = decoder.step({7, 2}, {3, 1});
    return at::cat({both, decoder.step({4}, {1})}).cpu();
  };
  EXPECT_LE(test::difference(next("cuda"), next("cpu")), 1e-4);
}

TEST_F(OnAGpu, ItsMemoryIsCounted) {
  const at::Device device(at::kCUDA, 0);
  restart_peak_device_memory(device);
  const int64_t before = peak_device_memory(device);
  at::zeros({1 << 20}, at::TensorOptions(device).dtype(at::kFloat));
  EXPECT_GE(peak_device_memory(device) - before, 4 << 20);
  restart_peak_device_memory(device);
  EXPECT_EQ(peak_device_memory(device), before) << "what is free again does not count";
}

TEST(DeviceMemory, OfTheCpuIsNotCountedHere) {
  restart_peak_device_memory(at::kCPU);
  EXPECT_EQ(peak_device_memory(at::kCPU), 0);
}

}  // namespace
}  // namespace caltrop
