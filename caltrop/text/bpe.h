// The model of a tokenizer.json: a vocabulary and the byte-pair merges that make its tokens from a word.
//
// In a byte-level vocabulary tokens are bytes, and a word starts as its bytes; in another they are
// characters. What starts a word and is not in the vocabulary becomes
//   - with byte_fallback, the tokens "<0xE2>" of its bytes, if they are all there (character vocabularies
//   only);
//   - else with unk_token, that token, one for several in a row with fuse_unk;
//   - else nothing: as in the reference, it is lost.
// With ignore_merges a word that is a token is that token, whatever the merges say.
//
// Tested by tests/text/bpe_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "caltrop/text/component.h"
#include "caltrop/text/merge.h"

namespace caltrop {

/// Far above any vocabulary, and low enough that a table with one entry an id is no danger.
constexpr int64_t kLargestId = (int64_t{1} << 24) - 1;

/// From strings to ids; looked up by string_view.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using IdByString = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

/// Tokens of the words that came last: a table without chains, where a word takes the place of the one before
/// it. Its size is fixed, so that no text can fill the memory. For one thread.
class WordCache {
 public:
  WordCache() : entries_(kEntries) {}
  /// Appends the tokens of `word`; false if it is not here.
  bool find(std::string_view word, uint64_t hash, std::vector<Symbol>& out) const;
  /// Remembers a word if it is short and its tokens cover it.
  void insert(std::string_view word, uint64_t hash, const Symbol* tokens, size_t count);

  static uint64_t hash_of(std::string_view word);

 private:
  static constexpr size_t kEntries = size_t{1} << 15;
  static constexpr size_t kLongestWord = 24;
  static constexpr size_t kMostTokens = 6;
  struct Entry {
    uint8_t length = 0, count = 0;
    uint8_t ends[kMostTokens];
    char word[kLongestWord];
    int32_t ids[kMostTokens];
  };
  std::vector<Entry> entries_;
};

/// Immutable; any number of threads may use one at a time.
class Bpe {
 public:
  /// Throws UserError for an option that is unknown or not supported, and for a vocabulary or merges that
  /// contradict themselves.
  Bpe(const Component& component, bool byte_level);

  /// Appends the tokens of a word, in order; their bytes are counted from its beginning. REQUIRES valid UTF-8
  /// that is not empty.
  void encode(std::string_view word, WordCache& cache, std::vector<Symbol>& out) const;

  /// Tokens as they are spelt in the file.
  const IdByString& ids() const { return ids_; }

 private:
  void read_vocabulary(const Component& component);
  void read_merges(const Component& component);
  void read_unknown(const Component& component);
  int32_t id_in_merge(const std::string& token, const std::string& where) const;
  void start(std::string_view word, std::vector<Symbol>& symbols) const;

  bool byte_level_;
  bool ignore_merges_ = false;
  bool fuse_unknown_ = false;
  std::optional<int32_t> unknown_;
  bool byte_fallback_ = false;
  std::array<int32_t, 256> id_of_byte_;  // byte-level: of the token that is one byte, -1 for none
  std::array<int32_t, 256> fallback_;    // of "<0x00>" and its like, -1 for none
  IdByString ids_;
  IdByString ids_by_bytes_;  // byte-level: the same by the bytes that a token stands for
  MergeTable merges_;
};

}  // namespace caltrop
