#include "caltrop/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>

#include <fmt/ranges.h>

#include <ATen/ops/empty.h>

#include "caltrop/base/error.h"
#include "caltrop/io/mapped_tensor.h"

namespace caltrop {
namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint32_t kMostDimensions = 4;
// Far above any real file; they bound what a hostile one can make us do.
constexpr uint64_t kMostKeys = 10'000;
constexpr uint64_t kLongestArray = 1 << 24;
constexpr int kDeepestArray = 4;

enum class ValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

/// Reads the file's bytes in order and never past their end.
class Cursor {
 public:
  explicit Cursor(const MappedFile& file) : file_(file) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.bytes().size() - at_; }
  std::string who() const { return fmt::format("{}: at byte {}", file_.path().string(), at_); }

  std::string_view take(uint64_t count, std::string_view what) {
    if (count > left()) {
      throw UserError("{}: {} has {} bytes, but {} are left in the file; an interrupted download?", who(),
                      what, count, left());
    }
    const std::string_view bytes(reinterpret_cast<const char*>(file_.bytes().data()) + at_, count);
    at_ += count;
    return bytes;
  }

  template <typename T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

  std::string text(std::string_view what) {
    const auto length = number<uint64_t>(what);
    return std::string(take(length, what));
  }

 private:
  const MappedFile& file_;
  uint64_t at_ = 0;
};

Json read_value(Cursor& cursor, uint32_t type, const std::string& what, int depth);

Json read_array(Cursor& cursor, const std::string& what, int depth) {
  const auto type = cursor.number<uint32_t>(what);
  const auto count = cursor.number<uint64_t>(what);
  // Each item takes a byte or more, so that the file's own size bounds the list as well.
  if (count > std::min(kLongestArray, cursor.left())) {
    throw UserError("{}: {} is a list of {} items, want {} or fewer; {} bytes are left in the file",
                    cursor.who(), what, count, kLongestArray, cursor.left());
  }
  if (depth >= kDeepestArray) {
    throw UserError("{}: {} is a list within {} lists, want {} or fewer", cursor.who(), what, depth,
                    kDeepestArray - 1);
  }
  Json::array_t items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(read_value(cursor, type, what, depth + 1));
  return Json(std::move(items));
}

Json read_value(Cursor& cursor, uint32_t type, const std::string& what, int depth) {
  switch (static_cast<ValueType>(type)) {
    case ValueType::kUint8:
      return cursor.number<uint8_t>(what);
    case ValueType::kInt8:
      return cursor.number<int8_t>(what);
    case ValueType::kUint16:
      return cursor.number<uint16_t>(what);
    case ValueType::kInt16:
      return cursor.number<int16_t>(what);
    case ValueType::kUint32:
      return cursor.number<uint32_t>(what);
    case ValueType::kInt32:
      return cursor.number<int32_t>(what);
    case ValueType::kFloat32:
      return static_cast<double>(cursor.number<float>(what));
    case ValueType::kBool:
      return cursor.number<uint8_t>(what) != 0;
    case ValueType::kString:
      return cursor.text(what);
    case ValueType::kArray:
      return read_array(cursor, what, depth);
    case ValueType::kUint64:
      return cursor.number<uint64_t>(what);
    case ValueType::kInt64:
      return cursor.number<int64_t>(what);
    case ValueType::kFloat64:
      return cursor.number<double>(what);
  }
  throw UserError("{}: {} has the value type {}, want 0 to 12", cursor.who(), what, type);
}

struct Counts {
  uint64_t tensors, keys;
};

Counts read_head(Cursor& cursor, const MappedFile& file) {
  const std::string who = file.path().string();
  if (cursor.left() < 4 || cursor.take(4, "the magic") != "GGUF") {
    throw UserError("{}: not a GGUF file: it does not begin with 'GGUF'{}", who, likely_cause(file));
  }
  const auto version = cursor.number<uint32_t>("the version");
  if (version != 2 && version != 3) {
    const bool swapped = (version & 0xffff) == 0 && version != 0;
    throw UserError("{}: GGUF version {}, want 2 or 3{}", who, version,
                    swapped ? "; the file is big-endian, convert it with `gguf-convert-endian`" : "");
  }
  Counts counts{};
  counts.tensors = cursor.number<uint64_t>("the number of tensors");
  counts.keys = cursor.number<uint64_t>("the number of metadata keys");
  return counts;
}

Json read_metadata(Cursor& cursor, uint64_t count, const std::string& file) {
  if (count > kMostKeys)
    throw UserError("{}: has {} metadata keys, want {} or fewer", file, count, kMostKeys);
  Json metadata = Json::object();
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = cursor.text(fmt::format("the name of metadata key {}", i));
    const std::string what = fmt::format("metadata '{}'", key);
    if (metadata.contains(key)) throw UserError("{}: {} stands twice", file, what);
    const auto type = cursor.number<uint32_t>(what);
    metadata[key] = read_value(cursor, type, what, 0);
  }
  return metadata;
}

uint64_t read_alignment(const Json& metadata, const std::string& file) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return kDefaultAlignment;
  if (!found->is_number_unsigned() || !std::has_single_bit(found->get<uint64_t>()) ||
      found->get<uint64_t>() > (1u << 31)) {
    throw UserError("{}: metadata 'general.alignment' is {}, want a power of two up to 2^31", file,
                    to_line(*found));
  }
  return found->get<uint64_t>();
}

/// One row of the table. begin and end still count from the start of the data.
GgufEntry read_entry(Cursor& cursor, uint64_t number, uint64_t alignment, const std::string& file) {
  GgufEntry entry{};
  entry.name = cursor.text(fmt::format("the name of tensor {}", number));
  const std::string who = fmt::format("{}: tensor '{}'", file, entry.name);
  const std::string what = fmt::format("the table's row of tensor '{}'", entry.name);

  const auto dimensions = cursor.number<uint32_t>(what);
  if (dimensions > kMostDimensions) {
    throw UserError("{}: has {} dimensions, want {} or fewer", who, dimensions, kMostDimensions);
  }
  for (uint32_t i = 0; i < dimensions; ++i) entry.shape.push_back(cursor.number<int64_t>(what));
  std::reverse(entry.shape.begin(), entry.shape.end());
  const auto type = cursor.number<uint32_t>(what);
  const auto layout = ggml_layout(type);
  if (!layout) {
    throw UserError("{}: is stored as {}, which Caltrop does not read; want one of: {}", who,
                    ggml_type_name(type), join(readable_ggml_types()));
  }
  entry.type = layout->type;

  const auto count = checked_count(entry.shape);
  uint64_t bytes = 0;
  if (!count ||
      __builtin_mul_overflow(static_cast<uint64_t>(*count / layout->block), layout->bytes, &bytes)) {
    throw UserError("{}: shape {} of {} has more than 2^63 - 1 numbers or a negative size", who, entry.shape,
                    layout->name);
  }
  const int64_t row = entry.shape.empty() ? 1 : entry.shape.back();
  if (row % layout->block != 0) {
    throw UserError("{}: has rows of {} numbers, want a multiple of {} for {}", who, row, layout->block,
                    layout->name);
  }

  entry.begin = cursor.number<uint64_t>(what);
  if (entry.begin % alignment != 0) {
    throw UserError("{}: begins {} bytes into the data, want a multiple of the alignment, {}", who,
                    entry.begin, alignment);
  }
  if (__builtin_add_overflow(entry.begin, bytes, &entry.end)) {
    throw UserError("{}: {} bytes from {} on lie beyond any file", who, bytes, entry.begin);
  }
  return entry;
}

/// Turns ranges within the data into ranges within the file: inside it, and apart from each other.
void place(std::vector<GgufEntry>& entries, uint64_t data_begin, uint64_t file_size,
           const std::string& file) {
  for (GgufEntry& entry : entries) {
    uint64_t end = 0;
    if (__builtin_add_overflow(entry.end, data_begin, &end) || end > file_size) {
      throw UserError(
          "{}: tensor '{}': its {} bytes begin at byte {} of the data, but the file ends {} bytes into the "
          "data; an "
          "interrupted download?",
          file, entry.name, entry.end - entry.begin, entry.begin,
          file_size > data_begin ? file_size - data_begin : 0);
    }
    entry.begin += data_begin;
    entry.end = end;
  }
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(entries[a].begin, entries[a].end) < std::pair(entries[b].begin, entries[b].end);
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufEntry& before = entries[order[i - 1]];
    const GgufEntry& entry = entries[order[i]];
    if (entry.begin < before.end) {
      throw UserError(
          "{}: tensor '{}': begins at byte {}, want {} or later where tensor '{}' ends: they overlap", file,
          entry.name, entry.begin, before.end, before.name);
    }
  }
}

}  // namespace

std::shared_ptr<const GgufFile> GgufFile::open(const std::filesystem::path& path) {
  std::shared_ptr<GgufFile> result(new GgufFile(MappedFile::open(path)));
  GgufFile& file = *result;
  const std::string who = path.string();
  Cursor cursor(*file.file_);

  const Counts counts = read_head(cursor, *file.file_);
  file.metadata_ = read_metadata(cursor, counts.keys, who);
  const uint64_t alignment = read_alignment(file.metadata_, who);
  for (uint64_t i = 0; i < counts.tensors; ++i) {  // a count that lies runs into the end of the file
    file.entries_.push_back(read_entry(cursor, i, alignment, who));
    if (!file.index_.emplace(file.entries_.back().name, i).second) {
      throw UserError("{}: tensor '{}': stands twice in the table", who, file.entries_.back().name);
    }
  }
  const uint64_t data_begin = (cursor.at() + alignment - 1) / alignment * alignment;
  place(file.entries_, data_begin, file.file_->bytes().size(), who);
  return result;
}

Tensor GgufFile::tensor(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw UserError("{}: has no tensor '{}'", path().string(), name);
  const GgufEntry& entry = entries_[found->second];
  if (entry.type == GgmlType::kF32) return mapped_tensor(file_, entry.begin, entry.shape, at::kFloat);
  Tensor numbers = at::empty(entry.shape, at::kFloat);
  dequantize(entry.type, file_->bytes().data() + entry.begin, numbers.numel(),
             numbers.mutable_data_ptr<float>());
  return numbers;
}

}  // namespace caltrop
