#include "caltrop/text/merge.h"

#include <bit>
#include <limits>
#include <queue>
#include <tuple>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t count) : slots_(std::bit_ceil(2 * count + 2)) {}

size_t MergeTable::slot_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  // Fibonacci hashing: the high bits of the product depend on all bits of the pair.
  size_t slot = static_cast<size_t>(pair * 0x9E3779B97F4A7C15u >> 32) & mask;
  while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty) slot = (slot + 1) & mask;
  return slot;
}

bool MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair = pair_of(left, right);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == pair) return false;
  slot = {pair, merge};
  return true;
}

const Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  const Slot& slot = slots_[slot_of(pair)];
  return slot.pair == pair ? &slot.merge : nullptr;
}

void merge_by_scan(const MergeTable& table, std::vector<Symbol>& symbols) {
  constexpr Merge kNone{std::numeric_limits<uint32_t>::max(), -1};
  static thread_local std::vector<Merge> merges;  // merges[i]: of symbols i and i + 1
  const auto look_up = [&](size_t i) {
    const Merge* const merge = table.find(symbols[i].id, symbols[i + 1].id);
    return merge != nullptr ? *merge : kNone;
  };
  merges.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) merges.push_back(look_up(i));

  while (!merges.empty()) {
    size_t best = 0;
    for (size_t i = 1; i < merges.size(); ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].id < 0) return;
    symbols[best] = {merges[best].id, symbols[best].begin, symbols[best + 1].end};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    merges.erase(merges.begin() + static_cast<std::ptrdiff_t>(best));
    if (best > 0) merges[best - 1] = look_up(best - 1);
    if (best < merges.size()) merges[best] = look_up(best);
  }
}

void merge_by_heap(const MergeTable& table, std::vector<Symbol>& symbols) {
  // Symbols stay where they are, linked to their neighbours; one that was merged into its left neighbour has
  // id -1.
  CALTROP_ASSERT(symbols.size() < (size_t{1} << 31), "a word of {} symbols", symbols.size());
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<int32_t> previous(symbols.size()), next(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    previous[static_cast<size_t>(i)] = i - 1;
    next[static_cast<size_t>(i)] = i + 1;
  }

  struct Candidate {
    uint32_t rank;
    int32_t at, left, right, merged;  // where the left symbol is; the pair when it was found; what it becomes
    bool operator<(const Candidate& other) const {  // the top of the heap is the largest
      return std::tie(rank, at) > std::tie(other.rank, other.at);
    }
  };
  std::priority_queue<Candidate> candidates;
  const auto symbol = [&](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };
  const auto consider = [&](int32_t at) {
    if (at < 0 || next[static_cast<size_t>(at)] >= count) return;
    const int32_t left = symbol(at).id, right = symbol(next[static_cast<size_t>(at)]).id;
    if (const Merge* const merge = table.find(left, right)) {
      candidates.push({merge->rank, at, left, right, merge->id});
    }
  };
  for (int32_t i = 0; i < count; ++i) consider(i);

  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    // One of the two may have been merged with another in the meantime.
    const int32_t right = next[static_cast<size_t>(best.at)];
    if (right >= count || symbol(best.at).id != best.left || symbol(right).id != best.right) continue;
    symbol(best.at) = {best.merged, symbol(best.at).begin, symbol(right).end};
    symbol(right).id = -1;
    next[static_cast<size_t>(best.at)] = next[static_cast<size_t>(right)];
    if (next[static_cast<size_t>(right)] < count)
      previous[static_cast<size_t>(next[static_cast<size_t>(right)])] = best.at;
    consider(previous[static_cast<size_t>(best.at)]);
    consider(best.at);
  }
  std::erase_if(symbols, [](const Symbol& s) { return s.id < 0; });
}

}  // namespace caltrop
