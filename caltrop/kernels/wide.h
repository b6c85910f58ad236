// Numbers kept in fp32 or bf16 that a loop computes with in fp32. Without branches, so that loops with them vectorise.
#pragma once

#include <bit>
#include <cstdint>

#include <c10/util/BFloat16.h>

namespace caltrop {

inline float wide(float x) { return x; }
inline float wide(c10::BFloat16 x) { return std::bit_cast<float>(uint32_t{x.x} << 16); }

inline void put(float& to, float value) { to = value; }

/// To the nearest, ties to even; NaN stays NaN.
inline void put(c10::BFloat16& to, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  to.x = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

}  // namespace caltrop
