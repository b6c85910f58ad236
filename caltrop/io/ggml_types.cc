#include "caltrop/io/ggml_types.h"

#include <algorithm>
#include <cstring>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

constexpr GgmlLayout kLayouts[] = {
    {GgmlType::kF32, "F32", 1, 4},         {GgmlType::kF16, "F16", 1, 2},
    {GgmlType::kBF16, "BF16", 1, 2},       {GgmlType::kQ8_0, "Q8_0", 32, 2 + 32},
    {GgmlType::kQ4_0, "Q4_0", 32, 2 + 16}, {GgmlType::kQ4_1, "Q4_1", 32, 2 + 2 + 16},
};

struct TypeName {
  uint32_t type;
  const char* name;
};
// The rest of ggml's list, so that a refusal can say what was there.
constexpr TypeName kOthers[] = {
    {6, "Q5_0"},   {7, "Q5_1"},    {9, "Q8_1"},   {10, "Q2_K"},    {11, "Q3_K"},   {12, "Q4_K"},
    {13, "Q5_K"},  {14, "Q6_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},
    {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {34, "TQ1_0"},
    {35, "TQ2_0"}, {39, "MXFP4"},  {40, "NVFP4"}, {41, "Q1_0"},
};

template <typename T>
float number_at(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<float>(value);
}

// One block each. Four-bit blocks keep number i in the low half of byte i and number i + 16 in its high half.
// The products below are exact in fp32 (an fp16 scale has 11 significant bits, a quantised number at most 8),
// so that it does not matter whether a compiler fuses them with the sum.

void read_q8_0(const std::byte* block, float* numbers) {
  const float scale = number_at<c10::Half>(block);
  for (int i = 0; i < 32; ++i) numbers[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

void read_q4_0(const std::byte* block, float* numbers) {
  const float scale = number_at<c10::Half>(block);
  for (int i = 0; i < 16; ++i) {
    const int both = std::to_integer<int>(block[2 + i]);
    numbers[i] = scale * static_cast<float>((both & 15) - 8);
    numbers[i + 16] = scale * static_cast<float>((both >> 4) - 8);
  }
}

void read_q4_1(const std::byte* block, float* numbers) {
  const float scale = number_at<c10::Half>(block);
  const float lowest = number_at<c10::Half>(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int both = std::to_integer<int>(block[4 + i]);
    numbers[i] = scale * static_cast<float>(both & 15) + lowest;
    numbers[i + 16] = scale * static_cast<float>(both >> 4) + lowest;
  }
}

void read_block(GgmlType type, const std::byte* block, float* numbers) {
  switch (type) {
    case GgmlType::kF32:
      *numbers = number_at<float>(block);
      return;
    case GgmlType::kF16:
      *numbers = number_at<c10::Half>(block);
      return;
    case GgmlType::kBF16:
      *numbers = number_at<c10::BFloat16>(block);
      return;
    case GgmlType::kQ8_0:
      read_q8_0(block, numbers);
      return;
    case GgmlType::kQ4_0:
      read_q4_0(block, numbers);
      return;
    case GgmlType::kQ4_1:
      read_q4_1(block, numbers);
      return;
  }
}

}  // namespace

std::optional<GgmlLayout> ggml_layout(uint32_t type) {
  for (const GgmlLayout& layout : kLayouts) {
    if (static_cast<uint32_t>(layout.type) == type) return layout;
  }
  return std::nullopt;
}

std::string ggml_type_name(uint32_t type) {
  if (const auto layout = ggml_layout(type)) return std::string(layout->name);
  for (const TypeName& other : kOthers) {
    if (other.type == type) return other.name;
  }
  return fmt::format("type {}", type);
}

std::vector<std::string> readable_ggml_types() {
  std::vector<std::string> names;
  for (const GgmlLayout& layout : kLayouts) names.emplace_back(layout.name);
  return names;
}

void dequantize(GgmlType type, const std::byte* blocks, int64_t count, float* numbers) {
  const GgmlLayout layout = *ggml_layout(static_cast<uint32_t>(type));
  CALTROP_ASSERT(count % layout.block == 0, "{} numbers are no whole blocks of {}", count, layout.block);
  for (int64_t i = 0; i < count; i += layout.block, blocks += layout.bytes)
    read_block(type, blocks, numbers + i);
}

}  // namespace caltrop
