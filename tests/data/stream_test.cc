#include "caltrop/data/stream.h"

#include <algorithm>

#include "tests/support/support.h"

namespace caltrop {
namespace {

std::vector<TokenRow> numbered(int64_t count) {
  std::vector<TokenRow> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back({{i}, {true}});
  return rows;
}

std::vector<int64_t> drawn(Stream& stream, int64_t count) {
  std::vector<int64_t> ids;
  for (const TokenRow& row : stream.draw(count)) ids.push_back(row.ids.front());
  return ids;
}

TEST(Stream, AnEpochHoldsEveryRowOnceAndTheNextIsInAnotherOrder) {
  Stream stream("general", numbered(20), 3);
  std::vector<int64_t> first = drawn(stream, 20), second = drawn(stream, 20);
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.front(), 0);
  EXPECT_EQ(first.back(), 19);
}

TEST(Stream, DrawsDoNotDependOnHowTheyAreGrouped) {
  Stream at_once("general", numbered(7), 0), piecewise("general", numbered(7), 0);
  std::vector<int64_t> pieces;
  for (const int64_t count : {3, 1, 9, 2}) {
    for (const int64_t id : drawn(piecewise, count)) pieces.push_back(id);
  }
  EXPECT_EQ(drawn(at_once, 15), pieces);
}

TEST(Stream, SeekingIsDrawing) {
  Stream drawing("general", numbered(7), 0), seeking("general", numbered(7), 0);
  drawn(drawing, 17);
  seeking.seek(17);
  EXPECT_EQ(drawn(drawing, 10), drawn(seeking, 10));
}

TEST(Stream, OrderDependsOnNameAndSeed) {
  Stream a("harmful", numbered(20), 0), b("general", numbered(20), 0), c("harmful", numbered(20), 1);
  const std::vector<int64_t> order = drawn(a, 20);
  EXPECT_NE(order, drawn(b, 20));
  EXPECT_NE(order, drawn(c, 20));
}

TEST(Stream, SamplingRepeatsNoRowBeforeAllWerePickedAndMovesNothing) {
  Stream stream("harmful", numbered(6), 0), untouched("harmful", numbered(6), 0);
  const std::vector<TokenRow> picked = stream.sample(9, RandomStream(1, "x"));
  std::vector<int64_t> first;
  for (size_t i = 0; i < 6; ++i) first.push_back(picked[i].ids[0]);
  std::sort(first.begin(), first.end());
  EXPECT_EQ(first, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(drawn(stream, 12), drawn(untouched, 12));
}

}  // namespace
}  // namespace caltrop
