// How ggml stores numbers, and their way back to fp32. A quantised type cuts each row into blocks of 32
// numbers with a common scale. Source: github.com/ggml-org/ggml, src/ggml-common.h and src/ggml-quants.c; the
// oracle is the Python package `gguf` (tools/make_gguf_baselines.py). Tested by tests/io/gguf_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace caltrop {

/// The types that we read; the values are those of the file.
enum class GgmlType : uint32_t { kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ8_0 = 8, kBF16 = 30 };

struct GgmlLayout {
  GgmlType type;
  std::string_view name;
  int64_t block;   // numbers in a block; rows are whole blocks
  uint64_t bytes;  // bytes of a block
};

/// The layout of a type that we read, or nullopt for any other.
std::optional<GgmlLayout> ggml_layout(uint32_t type);

/// ggml's name of a type, read by us or not ("Q4_K"); "type 99" if ggml does not know it either.
std::string ggml_type_name(uint32_t type);

/// The names of the types that we read.
std::vector<std::string> readable_ggml_types();

/// `count` numbers from the blocks at `blocks` (any alignment) to `numbers`. REQUIRES count to be whole
/// blocks.
void dequantize(GgmlType type, const std::byte* blocks, int64_t count, float* numbers);

}  // namespace caltrop
