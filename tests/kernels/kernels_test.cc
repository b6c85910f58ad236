// Fast operators against the plain compositions of MathMode: values and gradients.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/attention.h"
#include "caltrop/kernels/decode_attention.h"
#include "caltrop/kernels/elementwise.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/small_gemm.h"
#include "caltrop/kernels/token_nll.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using Tensors = std::vector<Tensor>;

/// Largest difference relative to the largest value; infinite if anything is not finite.
double difference(const Tensor& a, const Tensor& b) {
  const double d = (a - b).abs().max().item<double>() / std::max(1e-6, b.abs().max().item<double>());
  return std::isfinite(d) ? d : std::numeric_limits<double>::infinity();
}

/// f's value and the gradients of <f, random> in each input, fast and plain, agree.
void expect_same(const Tensors& inputs, const std::function<Tensor(const Tensors&)>& f,
                 double tolerance = 2e-5) {
  const auto run = [&](bool math) {
    const MathMode mode(math);
    Tensors leaves;
    for (const Tensor& x : inputs) leaves.push_back(x.detach().clone().requires_grad_(x.is_floating_point()));
    const Tensor y = f(leaves);
    at::manual_seed(5);
    Tensors wanted;
    for (const Tensor& x : leaves)
      if (x.requires_grad()) wanted.push_back(x);
    Tensors result = torch::autograd::grad({(y * at::randn_like(y)).sum()}, wanted);
    result.push_back(y.detach());
    return result;
  };
  const Tensors fast = run(false), plain = run(true);
  for (size_t i = 0; i < fast.size(); ++i) {
    EXPECT_LE(difference(fast[i], plain[i]), tolerance)
        << (i + 1 == fast.size() ? "value" : "gradient of input ") << i;
  }
}

class Kernels : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }
};

TEST_F(Kernels, RmsNorm) {
  expect_same({at::randn({37, 96}) * 3, at::randn({96})},
              [](const Tensors& x) { return rms_norm(x[0], x[1], 1e-5); });
  expect_same({at::randn({3, 7}), at::randn({7})},
              [](const Tensors& x) { return rms_norm(x[0], x[1], 1e-5); });
}

TEST_F(Kernels, SwiGlu) {
  expect_same({at::randn({50, 33}) * 4, at::randn({50, 33})},
              [](const Tensors& x) { return swiglu(x[0], x[1]); });
  const Tensor extreme = at::tensor({-200.0f, -90.0f, 0.0f, 90.0f, 200.0f}).view({1, 5});
  expect_same({extreme, at::ones({1, 5})}, [](const Tensors& x) { return swiglu(x[0], x[1]); });
}

// In bf16 both round their result, to 3 digits; ours computes in fp32 up to there.
TEST_F(Kernels, NormAndGateInBfloat) {
  const auto half = [](const Tensor& x) { return x.to(at::kBFloat16); };
  expect_same(
      {half(at::randn({37, 96}) * 3), half(at::randn({96}))},
      [](const Tensors& x) { return rms_norm(x[0], x[1], 1e-5); }, 2e-2);
  expect_same(
      {half(at::randn({50, 33}) * 4), half(at::randn({50, 33}))},
      [](const Tensors& x) { return swiglu(x[0], x[1]); }, 2e-2);
  const Tensor x = half(at::randn({37, 96}) * 3), weight = half(at::randn({96}));
  EXPECT_TRUE(
      at::equal(rms_norm(x, weight, 1e-5), half(rms_norm(x.to(at::kFloat), weight.to(at::kFloat), 1e-5))));
}

TEST_F(Kernels, TokenNll) {
  const Tensor labels = at::randint(0, 301, {600});  // more than two chunks of rows
  expect_same({at::randn({600, 24}), at::randn({301, 24})},
              [&](const Tensors& x) { return token_nll(x[0], x[1], labels); });
}

TEST_F(Kernels, TokenNllOfUniformLogitsIsLogV) {
  const Tensor nll = token_nll(at::zeros({2, 4}), at::randn({10, 4}), at::tensor({0, 9}, at::kLong));
  EXPECT_NEAR(nll[0].item<float>(), std::log(10.0), 1e-6);
  EXPECT_NEAR(nll[1].item<float>(), std::log(10.0), 1e-6);
}

TEST_F(Kernels, SmallGemmIsAMatrixProduct) {
  for (const auto [m, n, k] :
       {std::array{5, 37, 11}, std::array{4, 16, 3}, std::array{1, 1, 1}, std::array{9, 64, 70}}) {
    const Tensor a = at::randn({m, k}), b = at::randn({k, n}), c = at::randn({m, n});
    Tensor sum = c.clone(), sum_of_transpose = c.clone();
    small_gemm(sum.data_ptr<float>(), n, a.data_ptr<float>(), k, 1, b.data_ptr<float>(), n, m, n, k);
    EXPECT_LE(difference(sum, c + at::mm(a, b)), 1e-5);
    const Tensor at = a.t().contiguous();
    small_gemm(sum_of_transpose.data_ptr<float>(), n, at.data_ptr<float>(), 1, m, b.data_ptr<float>(), n, m,
               n, k);
    EXPECT_LE(difference(sum_of_transpose, c + at::mm(a, b)), 1e-5);
  }
}

/// Two rows that share three tokens, one of them cut once more, and a row of its own.
PackedTokens shared_batch() {
  PackedTokens tokens;
  tokens.segments = {{0, 3, -1, 0}, {3, 4, 0, 3}, {7, 2, 0, 3}, {9, 5, 2, 5}, {14, 1, 2, 5}, {15, 20, -1, 0}};
  std::vector<int64_t> positions;
  for (const Segment& s : tokens.segments)
    for (int64_t i = 0; i < s.length; ++i) positions.push_back(s.first_position + i);
  tokens.positions = at::tensor(positions, at::kLong);
  tokens.ids = at::zeros_like(tokens.positions);
  return tokens;
}

RotaryTables tables(int64_t width) {
  return rotary_tables(at::pow(100.0, -at::arange(0, width, 2).to(at::kFloat) / width), 64);
}

TEST_F(Kernels, AttentionEqualsPlainAttention) {
  const PackedTokens tokens = shared_batch();
  for (const auto [heads, kv_heads, width] :
       {std::array{6, 2, 16}, std::array{3, 3, 10}, std::array{4, 1, 64}}) {
    const RotaryTables rotary = tables(width);
    const int64_t n = tokens.count();
    for (const auto dtype : {at::kFloat, at::kDouble}) {  // the hand-written operator, ATen's fused one
      expect_same({at::randn({n, heads * width}, dtype), at::randn({n, kv_heads * width}, dtype),
                   at::randn({n, kv_heads * width}, dtype)},
                  [&, h = heads, k = kv_heads](const Tensors& x) {
                    return packed_attention(x[0], x[1], x[2], tokens, rotary, h, k);
                  });
    }
  }
}

TEST_F(Kernels, AttentionInBf16ComputesInFp32) {
  const PackedTokens tokens = shared_batch();
  const RotaryTables rotary = tables(16);
  const auto narrow = [](const Tensor& x) { return x.to(at::kBFloat16); };
  const Tensor q = narrow(at::randn({35, 96})), k = narrow(at::randn({35, 32})),
               v = narrow(at::randn({35, 32}));
  const Tensor y = packed_attention(q, k, v, tokens, rotary, 6, 2);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  const auto wide = [](const Tensor& x) { return x.to(at::kFloat); };
  const Tensor exact = packed_attention(wide(q), wide(k), wide(v), tokens, rotary, 6, 2);
  EXPECT_LE(difference(wide(y), exact), 0.004) << "rounded once, at the end";
}

TEST_F(Kernels, SharedBeginningsEqualSeparateRows) {
  const PackedTokens shared = shared_batch();
  const RotaryTables rotary = tables(8);
  const Tensor q = at::randn({35, 16}), k = at::randn({35, 8}), v = at::randn({35, 8});
  const Tensor y = packed_attention(q, k, v, shared, rotary, 2, 1);
  // Row 0 2 3 of the tree, written out: tokens 0..2, 7..8, 9..13.
  const Tensor row = at::tensor({0, 1, 2, 7, 8, 9, 10, 11, 12, 13}, at::kLong);
  PackedTokens alone;
  alone.segments = {{0, 10, -1, 0}};
  alone.positions = at::arange(10);
  alone.ids = at::zeros({10}, at::kLong);
  const Tensor z = packed_attention(q.index_select(0, row), k.index_select(0, row), v.index_select(0, row),
                                    alone, rotary, 2, 1);
  EXPECT_LE(difference(z, y.index_select(0, row)), 1e-5);
}

TEST_F(Kernels, DecodingAttendsOverTheCache) {
  constexpr int64_t kHeads = 6, kKvHeads = 2, kWidth = 16, kContext = 12, kSlots = 3;
  const RotaryTables rotary = tables(kWidth);
  const Tensor qkv = at::randn({2, (kHeads + 2 * kKvHeads) * kWidth});
  const LayerCache cache{at::randn({kSlots, kKvHeads, kContext, kWidth}),
                         at::randn({kSlots, kKvHeads, kContext, kWidth})};
  const LayerCache exact{cache.keys.to(at::kDouble),
                         cache.values.to(at::kDouble)};  // not fp32: ATen's operators
  const auto places = [&](at::ScalarType dtype) { return DecodePlaces({2, 0}, {0, 11}, rotary, dtype); };
  const Tensor ours = decode_attention(qkv, cache, places(at::kFloat), rotary, kHeads, kKvHeads);
  const Tensor plain =
      decode_attention(qkv.to(at::kDouble), exact, places(at::kDouble), rotary, kHeads, kKvHeads);
  EXPECT_LE(difference(ours.to(at::kDouble), plain), 1e-5);
  EXPECT_LE(difference(cache.keys.to(at::kDouble), exact.keys), 1e-6)
      << "the new keys are rotated and stored";
  EXPECT_LE(difference(cache.values.to(at::kDouble), exact.values), 1e-6);
}

TEST_F(Kernels, SecondDerivativesOnlyUnderMathMode) {
  testing::GTEST_FLAG(death_test_style) =
      "threadsafe";  // libtorch's CUDA build refuses to differentiate after a fork
  const Tensor x = at::randn({3, 8}).requires_grad_(true), w = at::randn({8});
  const auto second = [&] {
    const Tensor g = torch::autograd::grad({rms_norm(x, w, 1e-5).pow(3).sum()}, {x}, {}, true, true)[0];
    return torch::autograd::grad({g.square().sum()}, {x})[0];
  };
  EXPECT_DEATH(second(), "rms_norm has no second derivative; compute under MathMode");
  const MathMode math;
  EXPECT_TRUE(at::isfinite(second()).all().item<bool>());
}

}  // namespace
}  // namespace caltrop
