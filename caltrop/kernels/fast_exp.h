// exp to about 2e-7 relative without branches, so that loops with it vectorise (Cephes' expf: the range is
// reduced by ln 2 in two parts, then a polynomial). Arguments are clamped to [-87, 88].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace caltrop {

inline float fast_exp(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::floor(x * 1.44269504f + 0.5f);
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  union {
    int32_t bits;
    float value;
  } power{(static_cast<int32_t>(n) + 127) << 23};
  return (p * r * r + r + 1.0f) * power.value;
}

}  // namespace caltrop
