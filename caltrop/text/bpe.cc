#include "caltrop/text/bpe.h"

#include <algorithm>
#include <cstring>

#include "caltrop/text/byte_alphabet.h"
#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

// Up to so many symbols the scan is the faster of the two ways to merge (measured on English text; the exact
// number hardly matters).
constexpr size_t kScanUpTo = 48;

std::string part_of_merge(const Json& merge, size_t part, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return merge[part].get<std::string>();
  }
  if (merge.is_string()) {
    const std::string text = merge.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return part == 0 ? text.substr(0, space) : text.substr(space + 1);
    }
  }
  throw UserError("{}: {} is no merge; want \"left right\" or [\"left\", \"right\"]", where, to_line(merge));
}

}  // namespace

uint64_t WordCache::hash_of(std::string_view word) {
  uint64_t hash = word.size();
  for (size_t at = 0; at < word.size(); at += sizeof hash) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, word.data() + at, std::min(sizeof bytes, word.size() - at));
    hash = (hash ^ bytes) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

bool WordCache::find(std::string_view word, uint64_t hash, std::vector<Symbol>& out) const {
  const Entry& entry = entries_[hash % kEntries];
  if (entry.length != word.size() || std::memcmp(entry.word, word.data(), word.size()) != 0) return false;
  uint32_t begin = 0;
  for (size_t i = 0; i < entry.count; ++i) {
    out.push_back({entry.ids[i], begin, entry.ends[i]});
    begin = entry.ends[i];
  }
  return true;
}

void WordCache::insert(std::string_view word, uint64_t hash, const Symbol* tokens, size_t count) {
  if (word.size() > kLongestWord || count == 0 || count > kMostTokens) return;
  Entry entry;
  uint32_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    if (tokens[i].begin != end) return;  // a byte was lost here
    end = tokens[i].end;
    entry.ids[i] = tokens[i].id;
    entry.ends[i] = static_cast<uint8_t>(end);
  }
  if (end != word.size()) return;
  entry.length = static_cast<uint8_t>(word.size());
  entry.count = static_cast<uint8_t>(count);
  std::memcpy(entry.word, word.data(), word.size());
  entries_[hash % kEntries] = entry;
}

Bpe::Bpe(const Component& component, bool byte_level) : byte_level_(byte_level) {
  // Files from before the type was written have none; a BPE model is known by its merges.
  if (!component.json().contains("type") ? !component.json().contains("merges") : component.type() != "BPE") {
    throw component.unknown_type({"BPE"});
  }
  component.only({"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                  "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (optional<double>(component.json(), "dropout", component.where(), 0) != 0) {
    throw UserError("{}: dropout would make the tokens of a text random, which Caltrop does not support",
                    component.where());
  }
  for (const std::string key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!optional<std::string>(component.json(), key, component.where(), "").empty()) {
      throw UserError("{}: Caltrop does not support the option '{}'", component.where(), key);
    }
  }
  ignore_merges_ = component.flag("ignore_merges", false);
  fuse_unknown_ = component.flag("fuse_unk", false);
  byte_fallback_ = component.flag("byte_fallback", false);
  read_vocabulary(component);
  read_merges(component);
  read_unknown(component);
}

void Bpe::read_vocabulary(const Component& component) {
  const Json::const_iterator vocabulary = component.json().find("vocab");
  if (vocabulary == component.json().end() || !vocabulary->is_object()) {
    throw UserError("{}: 'vocab' is not an object of tokens and ids", component.where());
  }
  id_of_byte_.fill(-1);
  ids_.reserve(vocabulary->size());
  std::unordered_map<int64_t, std::string_view> token_of_id;
  for (const auto& [token, value] : vocabulary->items()) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kLargestId) {
      throw UserError("{}: the token '{}' has the id {}, want an integer from 0 to {}", component.where(),
                      token, to_line(value), kLargestId);
    }
    const auto id = value.get<int32_t>();
    if (const auto [other, is_new] = token_of_id.emplace(id, token); !is_new) {
      throw UserError("{}: the tokens '{}' and '{}' have the same id {}", component.where(), other->second,
                      token, id);
    }
    if (const auto [first, is_new] = ids_.emplace(token, id); !is_new) {
      throw UserError("{}: the token '{}' has two ids, {} and {}", component.where(), token, first->second,
                      id);
    }
    if (!byte_level_) continue;
    const auto bytes = spelt_bytes(token);
    if (!bytes) continue;  // some added tokens are in the vocabulary too, spelt as they are
    if (bytes->size() == 1) id_of_byte_[static_cast<unsigned char>(bytes->front())] = id;
    if (ignore_merges_) ids_by_bytes_.emplace(*bytes, id);
  }
}

int32_t Bpe::id_in_merge(const std::string& token, const std::string& where) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) throw UserError("{}: the token '{}' is not in the vocabulary", where, token);
  return found->second;
}

void Bpe::read_merges(const Component& component) {
  const auto merges = component.json().find("merges");
  if (merges == component.json().end() || !merges->is_array()) {
    throw UserError("{}: 'merges' is not a list", component.where());
  }
  merges_ = MergeTable(merges->size());
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    const auto where = fmt::format("{}.merges[{}]", component.where(), rank);
    const std::string left = part_of_merge((*merges)[rank], 0, where);
    const std::string right = part_of_merge((*merges)[rank], 1, where);
    const Merge merge{static_cast<uint32_t>(rank), id_in_merge(left + right, where)};
    if (!merges_.insert(id_in_merge(left, where), id_in_merge(right, where), merge)) {
      throw UserError("{}: '{}' and '{}' are merged a second time", where, left, right);
    }
  }
}

void Bpe::read_unknown(const Component& component) {
  const auto unknown = optional<std::string>(component.json(), "unk_token", component.where(), "");
  if (!unknown.empty()) unknown_ = id_in_merge(unknown, component.where() + ".unk_token");

  if (!byte_fallback_) return;
  if (byte_level_ && std::count(id_of_byte_.begin(), id_of_byte_.end(), -1) > 0) {
    throw UserError(
        "{}: byte_fallback with ByteLevel, and a vocabulary that lacks bytes, is not supported by Caltrop",
        component.where());
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids_.find(fmt::format("<0x{:02X}>", byte));
    fallback_[byte] = found == ids_.end() ? -1 : found->second;
  }
}

void Bpe::start(std::string_view word, std::vector<Symbol>& symbols) const {
  const auto fallback = [&](char byte) { return fallback_[static_cast<unsigned char>(byte)]; };
  // An unknown symbol waits here for others that it may be fused with. The reference lets it wait, too, while
  // a character after it falls back to bytes, which then come first.
  std::optional<Symbol> unknown;
  const auto add_unknown = [&] {
    if (unknown) symbols.push_back(*unknown);
    unknown.reset();
  };
  for (size_t at = 0; at < word.size();) {
    const size_t size = byte_level_ ? 1 : utf8_length(word[at]);
    const std::string_view unit = word.substr(at, size);
    Symbol symbol{-1, static_cast<uint32_t>(at), static_cast<uint32_t>(at + size)};
    if (byte_level_) {
      symbol.id = id_of_byte_[static_cast<unsigned char>(unit[0])];
    } else if (const auto found = ids_.find(unit); found != ids_.end()) {
      symbol.id = found->second;
    }
    at += size;

    if (symbol.id >= 0) {
      add_unknown();
      symbols.push_back(symbol);
    } else if (byte_fallback_ &&
               std::all_of(unit.begin(), unit.end(), [&](char b) { return fallback(b) >= 0; })) {
      for (uint32_t i = 0; i < size; ++i) {
        symbols.push_back({fallback(unit[i]), symbol.begin + i, symbol.begin + i + 1});
      }
    } else if (unknown_ && unknown && fuse_unknown_) {
      unknown->end = symbol.end;
    } else if (unknown_) {
      add_unknown();
      unknown = Symbol{*unknown_, symbol.begin, symbol.end};
    }
  }
  add_unknown();
}

void Bpe::encode(std::string_view word, WordCache& cache, std::vector<Symbol>& out) const {
  CALTROP_ASSERT(word.size() < (size_t{1} << 31), "a word of {} bytes", word.size());
  const uint64_t hash = WordCache::hash_of(word);
  if (cache.find(word, hash, out)) return;
  const size_t before = out.size();

  const IdByString& whole_words = byte_level_ ? ids_by_bytes_ : ids_;
  const auto whole = ignore_merges_ ? whole_words.find(word) : whole_words.end();
  if (whole != whole_words.end()) {
    out.push_back({whole->second, 0, static_cast<uint32_t>(word.size())});
  } else {
    static thread_local std::vector<Symbol> symbols;
    symbols.clear();
    start(word, symbols);
    (symbols.size() <= kScanUpTo ? merge_by_scan : merge_by_heap)(merges_, symbols);
    out.insert(out.end(), symbols.begin(), symbols.end());
  }
  cache.insert(word, hash, out.data() + before, out.size() - before);
}

}  // namespace caltrop
