// Named random streams derived from the run's one seed.
//
// A stream is a counter and a key: value i is a mix of (key + i * odd constant) (SplitMix64; Steele, Lea,
// Flood 2014). So its whole state is two integers that go into a checkpoint, streams with other names are
// independent, and adding a consumer of randomness somewhere never shifts the numbers that another one sees.
// Not for secrets. Tested by tests/base/random_test.cc.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace caltrop {

class RandomStream {
 public:
  /// The stream called `name` of a run with `seed`. The same pair gives the same numbers on every machine.
  RandomStream(uint64_t seed, std::string_view name);
  /// A stream resumed from its saved state.
  RandomStream(uint64_t key, uint64_t counter, int) : key_(key), counter_(counter) {}

  uint64_t next();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform in [0, n), without bias. REQUIRES n > 0.
  uint64_t below(uint64_t n);
  /// Standard normal (Box-Muller, one value a call).
  double normal();

  template <typename T>
  void shuffle(std::vector<T>& items) {  // Fisher-Yates
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  uint64_t key() const { return key_; }
  uint64_t counter() const { return counter_; }

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace caltrop
