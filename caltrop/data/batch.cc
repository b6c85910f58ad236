#include "caltrop/data/batch.h"

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

// Sharing fewer tokens than this saves less than the further segment costs.
constexpr size_t kShortestShare = 4;

/// Cuts rows, sorted so that equal beginnings are neighbours, into a tree of segments.
class Packer {
 public:
  Packer(std::span<const TokenRow> rows, Beginnings beginnings) : rows_(rows), place_(rows.size()) {
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return rows[a].ids < rows[b].ids; });
    for (size_t i = 0; i < rows.size(); ++i) place_[i].resize(rows[i].ids.size());
    if (beginnings == Beginnings::kShared) {
      split(order, 0, -1);
    } else {
      for (const size_t& row : order) add_segment({&row, 1}, 0, rows[row].ids.size(), -1);
    }
  }

  const std::vector<int64_t>& ids() const { return ids_; }
  const std::vector<int64_t>& positions() const { return positions_; }
  const std::vector<Segment>& segments() const { return segments_; }
  std::vector<std::vector<int64_t>> take_places() { return std::move(place_); }
  int64_t place(size_t row, size_t token) const { return place_[row][token]; }

 private:
  /// `group`: rows in order that agree on their first `depth` tokens, which `parent` and its ancestors hold.
  void split(std::span<const size_t> group, size_t depth, int64_t parent) {
    for (size_t begin = 0; begin < group.size();) {
      // The longest run of rows from here that share enough beyond `depth`; sorted order makes its first and
      // last row decide.
      size_t end = begin + 1, shared = rows_[group[begin]].ids.size();
      while (end < group.size()) {
        const size_t common = common_length(group[begin], group[end]);
        if (common < depth + kShortestShare) break;
        shared = std::min(shared, common);
        ++end;
      }
      const int64_t segment = add_segment(group.subspan(begin, end - begin), depth, shared, parent);
      std::vector<size_t> longer;
      for (size_t i = begin; i < end; ++i) {
        if (rows_[group[i]].ids.size() > shared) longer.push_back(group[i]);
      }
      if (!longer.empty()) split(longer, shared, segment);
      begin = end;
    }
  }

  size_t common_length(size_t a, size_t b) const {
    const auto &x = rows_[a].ids, &y = rows_[b].ids;
    return static_cast<size_t>(std::mismatch(x.begin(), x.end(), y.begin(), y.end()).first - x.begin());
  }

  int64_t add_segment(std::span<const size_t> group, size_t from, size_t to, int64_t parent) {
    const auto begin = static_cast<int64_t>(ids_.size());
    for (size_t t = from; t < to; ++t) {
      for (const size_t row : group) place_[row][t] = static_cast<int64_t>(ids_.size());
      ids_.push_back(rows_[group[0]].ids[t]);
      positions_.push_back(static_cast<int64_t>(t));
    }
    segments_.push_back({begin, static_cast<int64_t>(to - from), parent, static_cast<int64_t>(from)});
    return static_cast<int64_t>(segments_.size()) - 1;
  }

  std::span<const TokenRow> rows_;
  std::vector<std::vector<int64_t>> place_;
  std::vector<int64_t> ids_, positions_;
  std::vector<Segment> segments_;
};

}  // namespace

Batch pack(std::span<const TokenRow> rows, at::Device device, std::vector<std::vector<int64_t>>* places,
           Beginnings beginnings) {
  CALTROP_ASSERT(!rows.empty(), "a batch without rows");
  Batch batch;
  for (const TokenRow& row : rows) {
    CALTROP_ASSERT(!row.ids.empty() && row.ids.size() == row.answer.size(),
                   "a row of {} tokens with {} flags", row.ids.size(), row.answer.size());
    batch.row_tokens += static_cast<int64_t>(row.ids.size());
  }
  Packer packer(rows, beginnings);
  std::vector<int64_t> label_positions, labels, label_rows;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t t = 1; t < rows[r].ids.size(); ++t) {
      if (!rows[r].answer[t]) continue;
      label_positions.push_back(packer.place(r, t - 1));
      labels.push_back(rows[r].ids[t]);
      label_rows.push_back(static_cast<int64_t>(r));
    }
  }
  const auto to_tensor = [&](const std::vector<int64_t>& v) { return at::tensor(v, at::kLong).to(device); };
  batch.tokens = {to_tensor(packer.ids()), to_tensor(packer.positions()), packer.segments()};
  if (!device.is_cpu()) batch.tokens.visible = visibility(batch.tokens);
  batch.label_positions = to_tensor(label_positions);
  batch.labels = to_tensor(labels);
  batch.label_rows = to_tensor(label_rows);
  batch.rows = static_cast<int64_t>(rows.size());
  if (places != nullptr) *places = packer.take_places();
  return batch;
}

}  // namespace caltrop
