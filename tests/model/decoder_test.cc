#include "caltrop/model/decoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

/// The packed form of one row.
PackedTokens row(const std::vector<int64_t>& ids) {
  const auto n = static_cast<int64_t>(ids.size());
  return {at::tensor(ids, at::kLong), at::arange(n), {{0, n, -1, 0}}};
}

std::vector<int64_t> range(int64_t n) {
  std::vector<int64_t> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(i);
  return v;
}

void expect_the_whole_sequence(const Model& model, double tolerance) {
  const at::NoGradGuard no_grad;
  const std::vector<int64_t> long_row = {5, 9, 33, 60, 2, 2, 17, 44}, short_row = {8, 1, 0, 50};
  const auto logits = [&](const std::vector<int64_t>& ids) {
    return at::linear(model.forward(row(ids)), model.head());
  };
  const Tensor expected_long = logits(long_row), expected_short = logits(short_row);

  Decoder decoder(model, 3, 16);
  // The long row starts with five tokens in slot 2, the short one with one in slot 0.
  const Tensor first = decoder.prefill(row({5, 9, 33, 60, 2}), {range(5)}, {2});
  EXPECT_LE(test::difference(first[0], expected_long[4]), tolerance);
  const Tensor other = decoder.prefill(row({8}), {range(1)}, {0});
  EXPECT_LE(test::difference(other[0], expected_short[0]), tolerance);
  for (int64_t i = 0; i < 3; ++i) {
    const Tensor next =
        decoder.step({long_row[static_cast<size_t>(5 + i)], short_row[static_cast<size_t>(1 + i)]}, {2, 0});
    EXPECT_LE(test::difference(next[0], expected_long[5 + i]), tolerance);
    EXPECT_LE(test::difference(next[1], expected_short[1 + i]), tolerance);
  }
}

TEST(Decoder, StepByStepEqualsTheWholeSequence) { expect_the_whole_sequence(*test::tiny_model(), 1e-5); }

TEST(Decoder, InBf16ToItsRounding) {
  const auto model = test::tiny_model();
  expect_the_whole_sequence(Model(model->config(), model->parameters(), at::kBFloat16), 0.05);
}

}  // namespace
}  // namespace caltrop
