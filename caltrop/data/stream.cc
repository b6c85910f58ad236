#include "caltrop/data/stream.h"

#include <numeric>

#include "caltrop/base/error.h"

namespace caltrop {

Stream::Stream(std::string name, std::vector<TokenRow> rows, uint64_t seed)
    : name_(std::move(name)), rows_(std::move(rows)), seed_(seed) {
  CALTROP_ASSERT(!rows_.empty(), "the stream {} has no rows", name_);
}

std::vector<TokenRow> Stream::draw(int64_t count) {
  std::vector<TokenRow> drawn;
  for (int64_t i = 0; i < count; ++i, ++drawn_) {
    const int64_t epoch = drawn_ / size();
    if (epoch != epoch_) {
      order_.resize(rows_.size());
      std::iota(order_.begin(), order_.end(), size_t{0});
      RandomStream(seed_, fmt::format("order of {} in epoch {}", name_, epoch)).shuffle(order_);
      epoch_ = epoch;
    }
    drawn.push_back(rows_[order_[static_cast<size_t>(drawn_ % size())]]);
  }
  return drawn;
}

std::vector<TokenRow> Stream::sample(int64_t count, RandomStream random) const {
  std::vector<TokenRow> drawn;
  std::vector<size_t> left;
  while (static_cast<int64_t>(drawn.size()) < count) {
    if (left.empty()) {
      left.resize(rows_.size());
      std::iota(left.begin(), left.end(), size_t{0});
    }
    const uint64_t picked = random.below(left.size());
    drawn.push_back(rows_[left[picked]]);
    left[picked] = left.back();
    left.pop_back();
  }
  return drawn;
}

}  // namespace caltrop
