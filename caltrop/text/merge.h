// Byte-pair merging: the step that makes tokens of a word (Sennrich, Haddow, Birch 2016, arXiv:1508.07909).
//
// A word starts as a row of symbols, one a byte or character. As long as two neighbours are a pair of the
// table, the pair of lowest rank becomes one symbol, the leftmost if it stands there more than once:
//
//   h u g s   ->   h ug s   ->   hug s          u g: rank 0, h ug: rank 1
//
// Both functions do this. The scan looks through the whole row for each merge; that is fastest for words as
// they are. The heap takes n log n steps, for the word of a million letters that somebody will send.
//
// Tested by tests/text/merge_test.cc against each other and against the three lines above written out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace caltrop {

struct Merge {
  uint32_t rank;
  int32_t id;  // of the token that the pair becomes
};

/// From pairs of ids to merges: a hash table with open addressing. Immutable once filled.
class MergeTable {
 public:
  /// Makes room for `count` pairs.
  explicit MergeTable(size_t count = 0);
  /// Returns false, and changes nothing, if the pair is there already. REQUIRES ids >= 0 and room.
  bool insert(int32_t left, int32_t right, Merge merge);
  /// nullptr if the pair does not merge.
  const Merge* find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge{};
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  size_t slot_of(uint64_t pair) const;

  std::vector<Slot> slots_;  // a power of two, at least half of them empty
};

/// A part of a word: bytes [begin, end) of it, which are or become the token `id`.
struct Symbol {
  int32_t id;
  uint32_t begin, end;
};

void merge_by_scan(const MergeTable& table, std::vector<Symbol>& symbols);
void merge_by_heap(const MergeTable& table, std::vector<Symbol>& symbols);

}  // namespace caltrop
