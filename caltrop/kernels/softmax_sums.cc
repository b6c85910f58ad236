#include "caltrop/kernels/softmax_sums.h"

#include <algorithm>

#include "caltrop/kernels/fast_exp.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

CALTROP_VECTOR_TARGETS
void add_block(const float* __restrict logits, int64_t count, float highest, float scale, double* sum,
               double* weighted) {
  float s = 0, w = 0;
#pragma omp simd reduction(+ : s, w)
  for (int64_t i = 0; i < count; ++i) {
    const float z = (logits[i] - highest) * scale;
    const float p = fast_exp(z);
    s += p;
    w += p * z;
  }
  *sum += static_cast<double>(s);
  *weighted += static_cast<double>(w);
}

}  // namespace

CALTROP_VECTOR_TARGETS
float highest_of(const float* logits, int64_t count) {
  float highest = logits[0];
#pragma omp simd reduction(max : highest)
  for (int64_t i = 0; i < count; ++i) highest = logits[i] > highest ? logits[i] : highest;
  return highest;
}

std::pair<double, double> softmax_sums(const float* logits, int64_t count, float highest, float scale) {
  constexpr int64_t kBlock = 1024;
  double sum = 0, weighted = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    add_block(logits + begin, std::min(kBlock, count - begin), highest, scale, &sum, &weighted);
  }
  return {sum, weighted};
}

}  // namespace caltrop
