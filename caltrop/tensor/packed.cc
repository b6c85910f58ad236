#include "caltrop/tensor/packed.h"

#include <ATen/ATen.h>

namespace caltrop {

Tensor visibility(const PackedTokens& tokens) {
  const auto count = static_cast<int64_t>(tokens.segments.size());
  std::vector<int64_t> lengths;
  Tensor sees = at::zeros({count, count}, at::kBool);  // segment i sees segment j
  bool* cell = sees.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < count; ++i) {
    lengths.push_back(tokens.segments[static_cast<size_t>(i)].length);
    for (int64_t j = i; j >= 0; j = tokens.segments[static_cast<size_t>(j)].parent)
      cell[i * count + j] = true;
  }
  const at::Device device = tokens.positions.device();
  const Tensor segment_of = at::repeat_interleave(at::tensor(lengths, at::kLong)).to(device);  // [N]
  const Tensor related = sees.to(device).index_select(0, segment_of).index_select(1, segment_of);
  return related.logical_and_(tokens.positions.unsqueeze(0) <= tokens.positions.unsqueeze(1));
}

}  // namespace caltrop
