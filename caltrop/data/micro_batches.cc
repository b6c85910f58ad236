#include "caltrop/data/micro_batches.h"

#include <algorithm>

namespace caltrop {

std::vector<Batch> micro_batches(std::span<const TokenRow> rows, int64_t at_once, at::Device device,
                                 Beginnings beginnings) {
  std::vector<Batch> batches;
  const auto part = static_cast<size_t>(at_once);
  for (size_t begin = 0; begin < rows.size(); begin += part) {
    const auto some = rows.subspan(begin, std::min(part, rows.size() - begin));
    batches.push_back(pack(some, device, nullptr, beginnings));
  }
  return batches;
}

}  // namespace caltrop
