#include "caltrop/base/random.h"

#include <cmath>
#include <numbers>

namespace caltrop {
namespace {

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ULL;

}  // namespace

RandomStream::RandomStream(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a of the name, then mixed with the seed
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  key_ = mix(mix(seed + kGolden) ^ hash);
}

uint64_t RandomStream::next() { return mix(key_ + kGolden * ++counter_); }

double RandomStream::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

uint64_t RandomStream::below(uint64_t n) {
  // Rejects the last, incomplete copy of [0, n) within the 64-bit range.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
  uint64_t value;
  do value = next();
  while (value >= limit);
  return value % n;
}

double RandomStream::normal() {
  const double u = 1.0 - uniform();  // (0, 1]: its logarithm is finite
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace caltrop
