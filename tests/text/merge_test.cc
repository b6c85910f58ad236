#include "caltrop/text/merge.h"

#include "caltrop/base/random.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

struct Pair {
  int32_t left, right;
  Merge merge;
};

// The definition, with nothing but a list of pairs.
std::vector<int32_t> merged_slowly(const std::vector<Pair>& pairs, std::vector<int32_t> ids) {
  while (true) {
    const Pair* best = nullptr;
    size_t where = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (const Pair& pair : pairs) {
        if (pair.left == ids[i] && pair.right == ids[i + 1] &&
            (!best || pair.merge.rank < best->merge.rank)) {
          best = &pair;
          where = i;
        }
      }
    }
    if (best == nullptr) return ids;
    ids[where] = best->merge.id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

std::vector<Symbol> symbols_of(const std::vector<int32_t>& ids) {
  std::vector<Symbol> symbols;
  for (uint32_t i = 0; i < ids.size(); ++i) symbols.push_back({ids[i], i, i + 1});
  return symbols;
}

std::vector<int32_t> ids_of(const std::vector<Symbol>& symbols) {
  std::vector<int32_t> ids;
  for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
  return ids;
}

TEST(Merge, ScanAndHeapAreTheDefinition) {
  RandomStream random(1, "merges");
  for (int trial = 0; trial < 400; ++trial) {
    // A random vocabulary: each new token is a pair of older ones, so that the same letters can be made in many ways.
    const auto letters = static_cast<int32_t>(1 + random.below(3));
    std::vector<Pair> pairs;
    MergeTable table(20);
    for (int32_t id = letters; id < letters + 20; ++id) {
      const auto any = [&] { return static_cast<int32_t>(random.below(static_cast<uint64_t>(id))); };
      const Pair pair{any(), any(), {static_cast<uint32_t>(pairs.size()), id}};
      if (table.insert(pair.left, pair.right, pair.merge)) pairs.push_back(pair);
    }
    std::vector<int32_t> word(random.below(40));
    for (int32_t& letter : word) letter = static_cast<int32_t>(random.below(static_cast<uint64_t>(letters)));

    std::vector<Symbol> by_scan = symbols_of(word), by_heap = by_scan;
    merge_by_scan(table, by_scan);
    merge_by_heap(table, by_heap);
    const std::vector<int32_t> expected = merged_slowly(pairs, word);
    ASSERT_EQ(ids_of(by_scan), expected);
    ASSERT_EQ(ids_of(by_heap), expected);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(by_scan[i].begin, i == 0 ? 0 : by_scan[i - 1].end);
      EXPECT_EQ(by_scan[i].end, by_heap[i].end);
    }
  }
}

TEST(Merge, AMillionLettersTakeNoMinute) {
  MergeTable table(1);
  table.insert(0, 0, {0, 1});
  std::vector<Symbol> symbols = symbols_of(std::vector<int32_t>(1'000'001, 0));
  merge_by_heap(table, symbols);
  EXPECT_EQ(symbols.size(), 500'001u);
  EXPECT_EQ(symbols.back().id, 0);
}

TEST(MergeTable, KeepsTheFirstOfTwoEqualPairs) {
  MergeTable table(2);
  EXPECT_TRUE(table.insert(3, 4, {0, 5}));
  EXPECT_FALSE(table.insert(3, 4, {1, 6}));
  ASSERT_NE(table.find(3, 4), nullptr);
  EXPECT_EQ(table.find(3, 4)->id, 5);
  EXPECT_EQ(table.find(4, 3), nullptr);
}

}  // namespace
}  // namespace caltrop
