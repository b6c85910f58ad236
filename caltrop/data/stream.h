// A named stream of token rows in an order that depends only on the run's seed, the stream's name and how far
// it has come. Tested by tests/data/stream_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/base/random.h"
#include "caltrop/data/batch.h"

namespace caltrop {

/// Shuffles its rows anew each epoch. Draw number i is the same however draws were grouped, so a run that
/// resumes at a step needs no saved state: it seeks.
class Stream {
 public:
  /// REQUIRES rows.
  Stream(std::string name, std::vector<TokenRow> rows, uint64_t seed);

  /// The next `count` rows.
  std::vector<TokenRow> draw(int64_t count);
  /// `count` rows that `random` picks, each at most once until all were picked; the order of draws is not touched.
  std::vector<TokenRow> sample(int64_t count, RandomStream random) const;
  /// Continues as if `drawn` rows had been drawn.
  void seek(int64_t drawn) { drawn_ = drawn; }

  const std::string& name() const { return name_; }
  int64_t size() const { return static_cast<int64_t>(rows_.size()); }

 private:
  std::string name_;
  std::vector<TokenRow> rows_;
  uint64_t seed_;
  int64_t drawn_ = 0;
  int64_t epoch_ = -1;  // whose order is in order_
  std::vector<size_t> order_;
};

}  // namespace caltrop
