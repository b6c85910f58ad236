// The two sums that a softmax and its entropy need. Tested by tests/rollout/sampler_test.cc.
#pragma once

#include <cstdint>
#include <utility>

namespace caltrop {

/// The largest of `count` > 0 logits.
float highest_of(const float* logits, int64_t count);

/// (sum of exp(z), sum of exp(z) * z) with z = (logit - highest) * scale, in blocks that are added in fp64.
std::pair<double, double> softmax_sums(const float* logits, int64_t count, float highest, float scale = 1.0f);

}  // namespace caltrop
