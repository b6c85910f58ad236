// Our forward and backward passes against transformers' (tools/make_llama_baselines.py), and packed against separate rows.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/files.h"
#include "caltrop/io/safetensors.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/token_nll.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

/// All rows of ids [B,T] as separate segments.
PackedTokens packed(const Tensor& ids) {
  const int64_t rows = ids.size(0), length = ids.size(1);
  PackedTokens tokens{ids.flatten(), at::arange(length).repeat({rows}), {}};
  for (int64_t r = 0; r < rows; ++r) tokens.segments.push_back({r * length, length, -1, 0});
  return tokens;
}

class Llama : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(Llama, LogitsLossAndGradientsEqualTransformers) {
  const auto [name, math] = GetParam();
  const MathMode mode(math);
  const auto baseline = SafetensorsFile::open(test::data_file(std::string("llama/") + name + ".safetensors"));
  const auto model =
      Model::load(test::data_file(std::string("llama/") + name), {.device = "cpu", .dtype = "fp32"});
  const Tensor ids = baseline->tensor("ids");
  const int64_t rows = ids.size(0), length = ids.size(1);

  const Tensor hidden = model->forward(packed(ids));
  const Tensor logits = at::linear(hidden, model->head()).view({rows, length, -1});
  EXPECT_LE(test::difference(logits, baseline->tensor("logits")), 1e-4);

  const Tensor predicting =
      hidden.view({rows, length, -1}).narrow(1, 0, length - 1).reshape({rows * (length - 1), -1});
  const Tensor loss = token_nll(predicting, model->head(), ids.narrow(1, 1, length - 1).reshape({-1})).mean();
  EXPECT_NEAR(loss.item<double>(), baseline->tensor("loss").item<double>(), 1e-5);

  torch::autograd::backward({loss}, {});
  for (const auto& [parameter, tensor] : model->parameters()) {
    EXPECT_LE(test::difference(tensor.grad(), baseline->tensor("grad." + parameter)), 1e-4) << parameter;
  }
}

INSTANTIATE_TEST_SUITE_P(Baselines, Llama,
                         testing::Combine(testing::Values("tied", "untied"), testing::Bool()));

TEST(Model, WrongFoldersAreRefused) {
  const test::ScratchFolder folder;
  const auto source = test::data_file("llama/tied");
  const auto copy = [&](const std::string& name) {
    std::filesystem::copy(source, folder / name);
    return folder / name;
  };
  const auto load = [](const std::filesystem::path& path) {
    Model::load(path, {.device = "cpu", .dtype = "fp32"});
  };
  const auto edit = [](const std::filesystem::path& config, const std::string& from, const std::string& to) {
    std::string text = read_file(config);
    text.replace(text.find(from), from.size(), to);
    write_file(config, text);
  };
  const auto narrow = copy("narrow");
  edit(narrow / "config.json", "\"intermediate_size\": 40", "\"intermediate_size\": 44");
  EXPECT_USER_ERROR(load(narrow),
                    narrow.string() +
                        ": the tensor 'model.layers.0.mlp.gate_proj.weight' has shape [40,24], but " +
                        (narrow / "config.json").string() + " makes it [44,24]");
  const auto deep = copy("deep");
  edit(deep / "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  EXPECT_USER_ERROR(load(deep), deep.string() +
                                    ": the tensor 'model.layers.2.input_layernorm.weight' is missing; " +
                                    (deep / "config.json").string() + " says it has 3 layers");
  const auto shallow = copy("shallow");
  edit(shallow / "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  EXPECT_USER_ERROR(load(shallow),
                    shallow.string() +
                        ": the tensor 'model.layers.1.input_layernorm.weight' has no place in this "
                        "architecture; is " +
                        (shallow / "config.json").string() + " of another model?");
}

TEST(Model, WeightsThatAreNotFiniteAreRefused) {
  const test::ScratchFolder folder;
  const auto model = test::tiny_model();
  NamedTensors broken = test::copy_of(model->parameters());
  broken[3].second[1][2] = std::nan("");
  std::filesystem::create_directory(folder / "m");
  write_file(folder / "m" / "config.json", to_pretty(test::tiny_config()));
  write_safetensors(folder / "m" / "model.safetensors", broken);
  EXPECT_USER_ERROR(Model::load(folder / "m", {.device = "cpu", .dtype = "fp32"}),
                    (folder / "m").string() + ": the tensor '" + broken[3].first +
                        "' holds values that are not finite (NaN or infinity)");
}

TEST(Model, UnknownDeviceAndDtypeListTheKnown) {
  EXPECT_USER_ERROR(Model::load(test::data_file("llama/tied"), {.device = "cpu", .dtype = "fp8"}),
                    "dtype: no dtype 'fp8'; it has: auto, fp32, bf16");
  for (const char* device : {"meta", "gpu", "", "cpu:1", "cuda:", "cuda:-1", "cuda:1x"}) {
    EXPECT_USER_ERROR(Model::load(test::data_file("llama/tied"), {.device = device, .dtype = "fp32"}),
                      fmt::format("device: no device '{}'; it has: auto, cpu, cuda, cuda:N", device));
  }
  EXPECT_THROW(Model::load(test::data_file("llama/tied"), {.device = "cuda:900", .dtype = "fp32"}), UserError)
      << "no machine has so many";
}

TEST(Model, BfloatComputesWithFp32Masters) {
  const auto reference = Model::load(test::data_file("llama/tied"), {.device = "cpu", .dtype = "fp32"});
  const auto model = Model::load(test::data_file("llama/tied"), {.device = "cpu", .dtype = "bf16"});
  const Tensor ids = at::arange(12).view({1, 12});
  const Tensor hidden = model->forward(packed(ids));
  EXPECT_EQ(hidden.scalar_type(), at::kBFloat16);
  EXPECT_LE(test::difference(hidden.to(at::kFloat), reference->forward(packed(ids))), 0.05);
  torch::autograd::backward({hidden.to(at::kFloat).square().sum()}, {});
  for (const auto& [name, tensor] : model->parameters()) {
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_EQ(tensor.grad().scalar_type(), at::kFloat) << name;
  }
}

TEST(Model, WhatAnMlpReadsMakesWhatItAdds) {
  const auto model = Model::load(test::data_file("llama/tied"), {.device = "cpu", .dtype = "fp32"});
  const PackedTokens tokens = packed(at::arange(12).view({2, 6}));
  Trace trace;
  trace.keep_mlp_outputs = true;
  model->forward(tokens, &trace);
  const std::vector<Tensor> inputs = model->mlp_inputs(tokens, {0, 1});
  ASSERT_EQ(inputs.size(), 2u);
  for (const int64_t layer : {0, 1}) {
    const Tensor& x = inputs[static_cast<size_t>(layer)];
    EXPECT_TRUE(at::equal(model->mlp_input(tokens, layer), x)) << layer;
    const auto read = [&](const char* name, const Tensor& from) {
      return at::linear(from, model->weight(fmt::format("model.layers.{}.mlp.{}.weight", layer, name)));
    };
    const Tensor adds = read("down_proj", at::silu(read("gate_proj", x)) * read("up_proj", x));
    EXPECT_LE(test::difference(adds, trace.mlp_outputs[static_cast<size_t>(layer)]), 1e-5) << layer;
  }
}

}  // namespace
}  // namespace caltrop
