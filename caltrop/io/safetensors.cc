#include "caltrop/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/ranges.h>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"
#include "caltrop/io/mapped_tensor.h"

namespace caltrop {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kLargestHeader = 100'000'000;  // the reference's own limit
constexpr const char* kMetadata = "__metadata__";

struct DtypeName {
  at::ScalarType dtype;
  const char* name;
};
// In the order in which the reference writes them (its enum, backwards): sizes fall, so all are aligned.
constexpr DtypeName kDtypes[] = {
    {at::kLong, "I64"}, {at::kDouble, "F64"}, {at::kFloat, "F32"}, {at::kInt, "I32"}, {at::kBFloat16, "BF16"},
    {at::kHalf, "F16"}, {at::kShort, "I16"},  {at::kChar, "I8"},   {at::kByte, "U8"}, {at::kBool, "BOOL"}};

std::string dtype_names() {
  std::vector<std::string> names;
  for (const DtypeName& known : kDtypes) names.emplace_back(known.name);
  return join(names);
}

/// The header as text, with its own length checked against the file's.
std::string_view header_of(const MappedFile& file) {
  const std::string who = file.path().string();
  const uint64_t size = file.bytes().size();
  if (size < kLengthBytes) {
    throw UserError("{}: not a safetensors file: {} bytes, want {} or more{}", who, size, kLengthBytes,
                    likely_cause(file));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.bytes().data(), kLengthBytes);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()) + kLengthBytes,
                              size - kLengthBytes);
  if (length > kLargestHeader) {
    throw UserError("{}: not a safetensors file: its header would have {} bytes, want {} or fewer{}", who,
                    length, kLargestHeader, likely_cause(file));
  }
  if (length > text.size()) {
    throw UserError("{}: the file is shorter than its header: {} of {} bytes; an interrupted download?", who,
                    size, length + kLengthBytes);
  }
  if (length == 0 || text[0] != '{') {
    throw UserError("{}: not a safetensors file: its header of {} bytes does not begin with '{{'{}", who,
                    length, likely_cause(file));
  }
  return text.substr(0, length);
}

std::map<std::string, std::string> read_metadata(const Json& json, const std::string& who) {
  if (!json.is_object()) throw UserError("{}: '{}' is {}, want an object", who, kMetadata, to_line(json));
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      throw UserError("{}: '{}': '{}' is {}, want a string", who, kMetadata, key, to_line(value));
    }
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

bool is_size(const Json& json) {
  return json.is_number_unsigned() && json.get<uint64_t>() <= uint64_t{INT64_MAX};
}

/// The member `key`, which must be a list of sizes, of exactly `count` of them if count >= 0.
std::vector<int64_t> read_sizes(const Json& json, const char* key, int64_t count, const std::string& who) {
  const Json list = required<Json>(json, key, who);
  if (!list.is_array() || (count >= 0 && list.size() != static_cast<size_t>(count)) ||
      !std::all_of(list.begin(), list.end(), is_size)) {
    throw UserError("{}: '{}' is {}, want a list of {}integers from 0 to 2^63 - 1", who, key, to_line(list),
                    count >= 0 ? fmt::format("{} ", count) : "");
  }
  return list.get<std::vector<int64_t>>();
}

/// One tensor of the header. Its range is checked against its own shape and against the buffer, which is the
/// file from `data_begin` to `file_size`.
TensorEntry read_entry(const std::string& name, const Json& json, uint64_t data_begin, uint64_t file_size,
                       const std::string& file) {
  const std::string who = fmt::format("{}: tensor '{}'", file, name);
  TensorEntry entry{.name = name, .dtype = at::kFloat, .shape = {}, .begin = 0, .end = 0};

  const auto dtype = required<std::string>(json, "dtype", who);
  const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                   [&](const DtypeName& d) { return d.name == dtype; });
  if (known == std::end(kDtypes)) {
    throw UserError("{}: dtype is '{}', which Caltrop does not read; want one of: {}", who, dtype,
                    dtype_names());
  }
  entry.dtype = known->dtype;

  entry.shape = read_sizes(json, "shape", -1, who);
  const auto count = checked_count(entry.shape);
  int64_t bytes = 0;
  if (!count || __builtin_mul_overflow(*count, static_cast<int64_t>(c10::elementSize(entry.dtype)), &bytes)) {
    throw UserError("{}: shape {} of {} has more than 2^63 - 1 bytes", who, entry.shape, dtype);
  }

  const std::vector<int64_t> range = read_sizes(json, "data_offsets", 2, who);
  if (range[0] > range[1]) {
    throw UserError("{}: data_offsets are [{}, {}], want begin <= end", who, range[0], range[1]);
  }
  if (range[1] - range[0] != bytes) {
    throw UserError("{}: data_offsets [{}, {}] hold {} bytes, want {} for shape {} of {}", who, range[0],
                    range[1], range[1] - range[0], bytes, entry.shape, dtype);
  }
  // No sum here overflows: data_begin is at most 100 MB, and both are below 2^63.
  entry.begin = data_begin + static_cast<uint64_t>(range[0]);
  entry.end = data_begin + static_cast<uint64_t>(range[1]);
  if (entry.end > file_size) {
    throw UserError(
        "{}: ends at byte {}, but the file is shorter than its header says: {} of {} bytes or more; an "
        "interrupted "
        "download?",
        who, entry.end, file_size, entry.end);
  }
  return entry;
}

/// No hole, no overlap, nothing left. REQUIRES entries sorted by range.
void check_cover(const std::vector<TensorEntry>& entries, uint64_t data_begin, uint64_t file_size,
                 const std::string& file) {
  uint64_t at = data_begin;
  std::string before = "the header";
  for (const TensorEntry& entry : entries) {
    if (entry.begin != at) {
      throw UserError("{}: tensor '{}': begins at byte {}, want {} where {} ends: {}", file, entry.name,
                      entry.begin, at, before, entry.begin < at ? "they overlap" : "there is a hole");
    }
    at = entry.end;
    before = fmt::format("tensor '{}'", entry.name);
  }
  if (at != file_size) {
    throw UserError("{}: holds {} bytes behind its last tensor, want 0; was something appended to it?", file,
                    file_size - at);
  }
}

/// The tensor's place in kDtypes; throws if it has none.
const DtypeName* writable_dtype(const std::string& name, const Tensor& tensor, const std::string& who) {
  CALTROP_ASSERT(tensor.defined(), "tensor '{}' is undefined", name);
  const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                   [&](const DtypeName& d) { return d.dtype == tensor.scalar_type(); });
  if (known == std::end(kDtypes) || tensor.layout() != at::kStrided) {
    throw UserError("{}: tensor '{}': cannot write {}{}, want one of: {}", who, name,
                    tensor.layout() == at::kStrided ? "" : "sparse ", c10::toString(tensor.scalar_type()),
                    dtype_names());
  }
  return known;
}

struct Written {
  std::string_view name;
  const DtypeName* dtype;
  const Tensor* tensor;
};

/// The tensors in the order of the file. Throws for what must not be written.
std::vector<Written> file_order(const NamedTensors& tensors, const std::string& who) {
  std::vector<Written> order;
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (name == kMetadata)
      throw UserError("{}: tensor '{}': the format keeps this name for itself", who, name);
    if (!names.insert(name).second) {
      throw UserError("{}: tensor '{}': stands twice among those to write", who, name);
    }
    order.push_back({name, writable_dtype(name, tensor, who), &tensor});
  }
  std::sort(order.begin(), order.end(), [](const Written& a, const Written& b) {
    return std::pair(a.dtype, a.name) < std::pair(b.dtype, b.name);
  });
  return order;
}

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  std::shared_ptr<SafetensorsFile> result(new SafetensorsFile(MappedFile::open(path)));
  SafetensorsFile& file = *result;
  const std::string who = path.string();
  const uint64_t size = file.file_->bytes().size();
  const std::string_view header = header_of(*file.file_);
  const uint64_t data_begin = kLengthBytes + header.size();

  const Json json = parse_json(header, who + ": header");
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadata) {
      file.metadata_ = read_metadata(value, who);
    } else {
      file.entries_.push_back(read_entry(name, value, data_begin, size, who));
    }
  }
  // Empty tensors share their place with the next one and come before it.
  std::stable_sort(file.entries_.begin(), file.entries_.end(),
                   [](const TensorEntry& a, const TensorEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  check_cover(file.entries_, data_begin, size, who);
  for (size_t i = 0; i < file.entries_.size(); ++i) file.index_[file.entries_[i].name] = i;
  return result;
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw UserError("{}: has no tensor '{}'", path().string(), name);
  const TensorEntry& entry = entries_[found->second];
  return mapped_tensor(file_, entry.begin, entry.shape, entry.dtype);
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<Written> order = file_order(tensors, path.string());
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  uint64_t offset = 0;
  for (const Written& one : order) {
    const uint64_t end = offset + one.tensor->nbytes();
    header[std::string(one.name)] = {
        {"dtype", one.dtype->name}, {"shape", one.tensor->sizes().vec()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = to_line(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');

  write_file(path, [&](const Sink& sink) {
    const uint64_t length = text.size();
    sink({reinterpret_cast<const char*>(&length), kLengthBytes});
    sink(text);
    for (const Written& one : order) {
      const Tensor data = one.tensor->detach().cpu().contiguous();
      sink({static_cast<const char*>(data.const_data_ptr()), data.nbytes()});
    }
  });
}

}  // namespace caltrop
