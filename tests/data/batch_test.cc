#include "caltrop/data/batch.h"

#include <ATen/ATen.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TokenRow row(std::vector<int64_t> ids, size_t prompt) {
  std::vector<bool> answer(ids.size(), false);
  for (size_t i = prompt; i < ids.size(); ++i) answer[i] = true;
  return {std::move(ids), std::move(answer)};
}

/// A row read back from the packed batch by walking from a segment to its root.
std::vector<int64_t> unpacked(const Batch& batch, const std::vector<int64_t>& places) {
  std::vector<int64_t> ids;
  for (const int64_t place : places) ids.push_back(batch.tokens.ids[place].item<int64_t>());
  return ids;
}

/// The segment that holds a packed token.
const Segment& segment_of(const Batch& batch, int64_t place) {
  for (const Segment& s : batch.tokens.segments) {
    if (place >= s.begin && place < s.begin + s.length) return s;
  }
  throw std::logic_error("no segment");
}

TEST(Batch, SharedBeginningsAreStoredOnce) {
  const std::vector<TokenRow> rows = {row({1, 2, 3, 4, 5, 6}, 4), row({1, 2, 3, 4, 7}, 4),
                                      row({9, 9, 9, 9, 9}, 2)};
  const Batch batch = pack(rows);
  EXPECT_EQ(batch.tokens.count(), 4 + 2 + 1 + 5);
  EXPECT_EQ(batch.row_tokens, 16);
  EXPECT_EQ(batch.rows, 3);
}

TEST(Batch, EveryRowIsReachableThroughItsAncestors) {
  const std::vector<TokenRow> rows = {
      row({1, 2, 3, 4, 5, 6, 7, 8, 9}, 3),    row({1, 2, 3, 4, 5, 6, 7, 8}, 3),
      row({1, 2, 3, 4, 5, 6, 7, 8, 8, 8}, 3), row({1, 2, 3, 4, 0}, 3),
      row({1, 2, 3, 4, 5, 6, 7, 8, 9}, 3),    row({5}, 0)};
  std::vector<std::vector<int64_t>> places;
  const Batch batch = pack(rows, at::kCPU, &places);
  for (size_t r = 0; r < rows.size(); ++r) {
    EXPECT_EQ(unpacked(batch, places[r]), rows[r].ids) << "row " << r;
    for (size_t t = 1; t < places[r].size();
         ++t) {  // the token before is in the same segment or ends an ancestor
      const Segment& here = segment_of(batch, places[r][t]);
      if (places[r][t] != here.begin) {
        EXPECT_EQ(places[r][t - 1], places[r][t] - 1);
      } else {
        const Segment& parent = batch.tokens.segments[static_cast<size_t>(here.parent)];
        EXPECT_EQ(places[r][t - 1], parent.begin + parent.length - 1);
      }
      EXPECT_EQ(batch.tokens.positions[places[r][t]].item<int64_t>(), static_cast<int64_t>(t));
    }
  }
}

TEST(Batch, LabelsAreTheAnswersNextTokens) {
  const Batch batch = pack(std::vector<TokenRow>{row({1, 2, 3, 4, 5, 6}, 4), row({1, 2, 3, 4, 7}, 4)});
  EXPECT_EQ(batch.label_count(), 3);
  EXPECT_TRUE(at::equal(batch.labels, at::tensor({5, 6, 7}, at::kLong)));
  EXPECT_TRUE(at::equal(batch.label_rows, at::tensor({0, 0, 1}, at::kLong)));
  EXPECT_TRUE(
      at::equal(batch.tokens.ids.index_select(0, batch.label_positions), at::tensor({4, 5, 4}, at::kLong)))
      << "each label is predicted at the token before it, shared or not";
}

}  // namespace
}  // namespace caltrop
