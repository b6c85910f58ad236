// What the tests of io share: small files made by hand, byte by byte, so that each rule can be broken alone.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "caltrop/tensor/tensor.h"
#include "tests/support/support.h"

namespace caltrop::test {

/// The bytes of a number as they lie in memory (little-endian).
template <typename T>
std::string bytes_of(T number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}

/// A safetensors file: this header, then `data` bytes of zeros.
inline std::string safetensors_bytes(const std::string& header, size_t data) {
  return bytes_of(uint64_t{header.size()}) + header + std::string(data, '\0');
}

/// "<length><bytes>", GGUF's string.
inline std::string gguf_text(std::string_view text) {
  return bytes_of(uint64_t{text.size()}) + std::string(text);
}

/// A GGUF file in the making. Counts and the padding before the data come out right unless a test changes
/// them.
struct GgufBuilder {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t tensors = 0, keys = 0;
  std::string metadata, table, data;
  uint64_t alignment = 32;

  template <typename T>
  GgufBuilder& key(std::string_view name, uint32_t type, T value) {
    return raw_key(name, type, bytes_of(value));
  }
  GgufBuilder& text_key(std::string_view name, std::string_view value) {
    return raw_key(name, 8, gguf_text(value));
  }
  GgufBuilder& raw_key(std::string_view name, uint32_t type, const std::string& value) {
    metadata += gguf_text(name) + bytes_of(type) + value;
    ++keys;
    return *this;
  }
  /// `dimensions` in GGUF's order, the fastest first.
  GgufBuilder& tensor(std::string_view name, const std::vector<int64_t>& dimensions, uint32_t type,
                      uint64_t offset) {
    table += gguf_text(name) + bytes_of(static_cast<uint32_t>(dimensions.size()));
    for (const int64_t size : dimensions) table += bytes_of(size);
    table += bytes_of(type) + bytes_of(offset);
    ++tensors;
    return *this;
  }
  std::string bytes() const {
    std::string file = magic + bytes_of(version) + bytes_of(tensors) + bytes_of(keys) + metadata + table;
    file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
    return file + data;
  }
};

/// Same dtype, shape and bits; a NaN equals itself.
inline ::testing::AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) {
    return ::testing::AssertionFailure()
           << a.scalar_type() << a.sizes() << " against " << b.scalar_type() << b.sizes();
  }
  const Tensor x = a.contiguous();
  const Tensor y = b.contiguous();
  if (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "values differ";
}

}  // namespace caltrop::test
