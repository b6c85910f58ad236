// The two sums that a softmax and its entropy need. Tested by tests/rollout/sampler_test.cc.
#pragma once

#include <cstdint>
#include <utility>

namespace caltrop {

/// (sum of exp(z - highest), sum of exp(z - highest) * (z - highest)) over `count` logits, in blocks that are added in fp64.
std::pair<double, double> softmax_sums(const float* logits, int64_t count, float highest);

}  // namespace caltrop
