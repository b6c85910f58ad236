// Our operators beside the same mathematics from ATen's (Google Benchmark): forward and backward, CPU; fp32 unless the name says bf16.
//
//   ./run bench kernels        each pair `ours` / `aten` at the sizes of SmolLM2 and a kitchen batch
#include <benchmark/benchmark.h>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/memory.h"
#include "caltrop/data/batch.h"
#include "caltrop/kernels/adamw.h"
#include "caltrop/kernels/attention.h"
#include "caltrop/kernels/cast.h"
#include "caltrop/kernels/elementwise.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/packed_linear.h"
#include "caltrop/kernels/token_nll.h"
#include "caltrop/tensor/host_memory.h"

namespace caltrop {
namespace {

constexpr int64_t kTokens = 600, kWidth = 576, kInner = 1536, kHeads = 9, kKvHeads = 3, kHeadWidth = 64,
                  kVocabulary = 49152;

Tensor leaf(std::initializer_list<int64_t> shape, at::ScalarType dtype = at::kFloat) {
  Tensor tensor = at::randn(at::IntArrayRef(shape.begin(), shape.size())).to(dtype);
  return tensor.requires_grad_(true);
}

template <typename Forward>
void both_ways(benchmark::State& state, Forward forward) {
  const MathMode plain(state.range(0) == 1);
  state.SetLabel(state.range(0) == 1 ? "aten" : "ours");
  for (auto _ : state) torch::autograd::backward({forward().sum()}, {});
}

void bm_rms_norm(benchmark::State& state) {
  const Tensor x = leaf({kTokens, kWidth}), weight = leaf({kWidth});
  both_ways(state, [&] { return rms_norm(x, weight, 1e-5); });
}

void bm_rms_norm_bf16(benchmark::State& state) {
  const Tensor x = leaf({kTokens, kWidth}, at::kBFloat16), weight = leaf({kWidth}, at::kBFloat16);
  both_ways(state, [&] { return rms_norm(x, weight, 1e-5); });
}

void bm_swiglu(benchmark::State& state) {
  const Tensor gate = leaf({kTokens, kInner}), up = leaf({kTokens, kInner});
  both_ways(state, [&] { return swiglu(gate, up); });
}

void bm_swiglu_bf16(benchmark::State& state) {
  const Tensor gate = leaf({kTokens, kInner}, at::kBFloat16), up = leaf({kTokens, kInner}, at::kBFloat16);
  both_ways(state, [&] { return swiglu(gate, up); });
}

/// Clipping and a step, over the weights of the embedding, which come from memory.
void bm_adamw(benchmark::State& state) {
  const at::NoGradGuard no_grad;
  const auto all = [] { return std::vector<Tensor>{at::randn({kVocabulary, kWidth})}; };
  const std::vector<Tensor> weights = all(), gradients = all(), means = all(), squares{all()[0].square()};
  const std::vector<Tensor> number{at::scalar_tensor(9.0, at::kFloat)};
  state.SetLabel(state.range(0) == 1 ? "aten" : "ours");
  for (auto _ : state) {
    if (state.range(0) == 1) {
      at::_foreach_mul_(gradients, 0.99999);
      at::_fused_adamw_(weights, gradients, means, squares, {}, number, 1e-5, 0.9, 0.999, 0.0, 1e-8, false,
                        false);
    } else {
      adamw_step(weights, gradients, means, squares, {9, 1e-5, 0.9, 0.999, 1e-8, 0.0, 0.99999});
    }
  }
}

/// The gradient of the embedding from bf16.
void bm_to_fp32(benchmark::State& state) {
  const Tensor gradient = at::randn({kVocabulary, kWidth}).to(at::kBFloat16);
  state.SetLabel(state.range(0) == 1 ? "aten" : "ours");
  for (auto _ : state)
    benchmark::DoNotOptimize(state.range(0) == 1 ? gradient.to(at::kFloat) : to_fp32(gradient));
}

void bm_attention(benchmark::State& state) {
  // Eight rows that share a system prompt of thirty tokens, as chat rows do.
  std::vector<TokenRow> rows;
  for (int64_t r = 0; r < 8; ++r) {
    TokenRow row;
    for (int64_t i = 0; i < 100; ++i)
      row.ids.push_back(i < 30 ? i : 1000 * (r + 1) + i), row.answer.push_back(i > 50);
    rows.push_back(std::move(row));
  }
  const PackedTokens tokens = pack(rows).tokens;
  const Tensor frequencies = at::pow(10000.0, -at::arange(kHeadWidth / 2) * 2.0 / kHeadWidth).to(at::kFloat);
  const RotaryTables tables = rotary_tables(frequencies, 128);
  const int64_t n = tokens.count();
  const Tensor q = leaf({n, kHeads * kHeadWidth}), k = leaf({n, kKvHeads * kHeadWidth}),
               v = leaf({n, kKvHeads * kHeadWidth});
  both_ways(state, [&] { return packed_attention(q, k, v, tokens, tables, kHeads, kKvHeads); });
}

void bm_token_nll(benchmark::State& state) {
  const Tensor hidden = leaf({300, kWidth}), head = leaf({kVocabulary, kWidth});
  const Tensor labels = at::randint(kVocabulary, {300}, at::kLong);
  both_ways(state, [&] { return token_nll(hidden, head, labels); });
}

/// Decoding: few rows through one layer's weights after the other's, so that they come from memory and not from a cache.
void bm_packed_linear(benchmark::State& state) {
  const at::NoGradGuard no_grad;
  const int64_t rows = state.range(1);
  std::vector<Tensor> weights;
  std::vector<PackedLinear> packed;
  for (int layer = 0; layer < 30; ++layer) {
    weights.push_back(at::randn({2 * kInner, kWidth}));
    packed.emplace_back(weights.back());
  }
  const Tensor x = at::randn({rows, kWidth});
  state.SetLabel(state.range(0) == 1 ? "aten" : "ours");
  for (auto _ : state) {
    for (size_t layer = 0; layer < packed.size(); ++layer)
      benchmark::DoNotOptimize(state.range(0) == 1 ? at::linear(x, weights[layer]) : packed[layer](x));
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(30.0 * 2 * 2 * kInner * kWidth * static_cast<double>(rows) / 1e9,
                         benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(bm_packed_linear)
    ->ArgsProduct({{0, 1}, {1, 8, 32, 64}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(bm_rms_norm)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_swiglu)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_rms_norm_bf16)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_swiglu_bf16)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_adamw)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_to_fp32)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_attention)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(bm_token_nll)->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace caltrop

int main(int count, char** arguments) {
  caltrop::keep_freed_memory();  // as `caltrop` does: else the kernel's clearing of pages is measured
  caltrop::allocate_tensors_plainly();
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
