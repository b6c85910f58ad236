#include "caltrop/io/gguf.h"

#include <ATen/ops/tensor.h>

#include "caltrop/base/files.h"
#include "caltrop/io/safetensors.h"
#include "tests/io/io_support.h"

namespace caltrop {
namespace {

using test::bytes_of;
using test::gguf_text;
using test::GgufBuilder;
using test::same_bits;

TEST(Gguf, DequantizesBitForBitAsTheWheel) {
  const auto file = GgufFile::open(test::data_file("io/types.gguf"));
  const auto expected = SafetensorsFile::open(test::data_file("io/types.safetensors"));
  ASSERT_EQ(file->entries().size(), 6U);
  for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"}) {
    EXPECT_TRUE(same_bits(file->tensor(name), expected->tensor(name))) << name;
  }
}

TEST(Gguf, ShapesAreRowMajor) {
  const auto file = GgufFile::open(test::data_file("io/types.gguf"));
  EXPECT_EQ(file->entries()[0].name, "f32");
  EXPECT_EQ(file->entries()[0].type, GgmlType::kF32);
  EXPECT_EQ(file->entries()[0].shape, (std::vector<int64_t>{2, 3, 5}));
  EXPECT_EQ(file->entries()[0].end - file->entries()[0].begin, 2U * 3 * 5 * 4);
}

TEST(Gguf, MetadataOfEveryType) {
  const Json metadata = GgufFile::open(test::data_file("io/types.gguf"))->metadata();
  const Json expected = {{"general.architecture", "test"},
                         {"test.uint8", 7},
                         {"test.int8", -7},
                         {"test.uint16", 7},
                         {"test.int16", -7},
                         {"test.uint32", 7},
                         {"test.int32", -7},
                         {"test.uint64", 7},
                         {"test.int64", -7},
                         {"test.float32", 0.1f},
                         {"test.float64", 0.1},
                         {"test.bool", true},
                         {"test.string", "sörup"},
                         {"test.words", {"a", "", "c"}},
                         {"test.numbers", {1, -2, 3}}};
  EXPECT_EQ(to_pretty(metadata), to_pretty(expected));
}

TEST(Gguf, Fp32LiesInTheMappingAndKeepsItAlive) {
  const test::ScratchFolder folder;
  GgufBuilder builder;
  builder.tensor("x", {2}, 0, 0).data = bytes_of(1.5f) + bytes_of(-2.0f);
  const auto path = folder.write("x.gguf", builder.bytes());
  Tensor x;
  {
    const auto file = GgufFile::open(path);
    x = file->tensor("x");
    EXPECT_EQ(x.const_data_ptr(), file->tensor("x").const_data_ptr()) << "no copy was made";
  }
  EXPECT_TRUE(same_bits(x, at::tensor({1.5f, -2.0f})));
}

TEST(Gguf, Version2AndOtherAlignments) {
  const test::ScratchFolder folder;
  GgufBuilder builder;
  builder.version = 2;
  builder.alignment = 8;
  builder.key("general.alignment", 4, uint32_t{8}).tensor("x", {1}, 0, 0).tensor("y", {1}, 0, 8);
  builder.data = bytes_of(1.0f) + std::string(4, '\0') + bytes_of(2.0f);
  const auto file = GgufFile::open(folder.write("x.gguf", builder.bytes()));
  EXPECT_TRUE(same_bits(file->tensor("x"), at::tensor({1.0f})));
  EXPECT_TRUE(same_bits(file->tensor("y"), at::tensor({2.0f})));
}

TEST(Gguf, UnknownTensorIsNamed) {
  const auto path = test::data_file("io/types.gguf");
  EXPECT_USER_ERROR(GgufFile::open(path)->tensor("none"), path.string() + ": has no tensor 'none'");
}

/// Files broken by hand: each breaks one rule, and the message says which.
class BrokenGguf : public ::testing::Test {
 protected:
  /// The message on opening the file, without the file's name.
  std::string refusal(const std::string& bytes) const {
    const auto path = folder_.write("x", bytes);
    try {
      GgufFile::open(path);
    } catch (const UserError& error) {
      const std::string text = error.what();
      const std::string prefix = path.string() + ": ";
      EXPECT_EQ(text.substr(0, prefix.size()), prefix);
      return text.substr(prefix.size());
    }
    return "opened";
  }
  std::string refusal(const GgufBuilder& builder) const { return refusal(builder.bytes()); }

  GgufBuilder builder_;

 private:
  test::ScratchFolder folder_;
};

TEST_F(BrokenGguf, Head) {
  EXPECT_EQ(refusal(""), "not a GGUF file: it does not begin with 'GGUF'; it is empty");
  EXPECT_EQ(refusal("GGU"), "not a GGUF file: it does not begin with 'GGUF'");
  EXPECT_EQ(refusal(test::safetensors_bytes("{}", 0)), "not a GGUF file: it does not begin with 'GGUF'");
  EXPECT_EQ(refusal("GGUF\x03"),
            "at byte 4: the version has 4 bytes, but 1 are left in the file; an interrupted download?");
  builder_.version = 1;
  EXPECT_EQ(refusal(builder_), "GGUF version 1, want 2 or 3");
  builder_.version = 3 << 24;
  EXPECT_EQ(
      refusal(builder_),
      "GGUF version 50331648, want 2 or 3; the file is big-endian, convert it with `gguf-convert-endian`");
}

TEST_F(BrokenGguf, Counts) {
  builder_.keys = uint64_t{1} << 63;
  EXPECT_EQ(refusal(builder_), "has 9223372036854775808 metadata keys, want 10000 or fewer");
  builder_.keys = 0;
  builder_.tensors = uint64_t{1} << 63;
  EXPECT_EQ(refusal(builder_),
            "at byte 32: the table's row of tensor '' has 4 bytes, but 0 are left in the file; an "
            "interrupted download?");
}

TEST_F(BrokenGguf, Texts) {
  builder_.raw_key("k", 8, bytes_of(~uint64_t{0}));
  EXPECT_EQ(
      refusal(builder_),
      "at byte 45: metadata 'k' has 18446744073709551615 bytes, but 19 are left in the file; an interrupted "
      "download?");
}

TEST_F(BrokenGguf, Metadata) {
  EXPECT_EQ(refusal(GgufBuilder().key("k", 13, uint32_t{0})),
            "at byte 37: metadata 'k' has the value type 13, want 0 to 12");
  EXPECT_EQ(refusal(GgufBuilder().key("k", 4, uint32_t{0}).key("k", 4, uint32_t{0})),
            "metadata 'k' stands twice");
  EXPECT_EQ(
      refusal(GgufBuilder().raw_key("k", 9, bytes_of(uint32_t{0}) + bytes_of(uint64_t{1} << 60))),
      "at byte 49: metadata 'k' is a list of 1152921504606846976 items, want 16777216 or fewer; 15 bytes are "
      "left in the file");
  std::string nested;
  for (int i = 0; i < 5; ++i) nested += bytes_of(uint32_t{9}) + bytes_of(uint64_t{1});
  EXPECT_EQ(refusal(GgufBuilder().raw_key("k", 9, nested)),
            "at byte 97: metadata 'k' is a list within 4 lists, want 3 or fewer");
}

TEST_F(BrokenGguf, Alignment) {
  const std::string want = ", want a power of two up to 2^31";
  EXPECT_EQ(refusal(GgufBuilder().key("general.alignment", 4, uint32_t{0})),
            "metadata 'general.alignment' is 0" + want);
  EXPECT_EQ(refusal(GgufBuilder().key("general.alignment", 4, uint32_t{24})),
            "metadata 'general.alignment' is 24" + want);
  EXPECT_EQ(refusal(GgufBuilder().text_key("general.alignment", "32")),
            "metadata 'general.alignment' is \"32\"" + want);
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {1}, 0, 4)),
            "tensor 'x': begins 4 bytes into the data, want a multiple of the alignment, 32");
}

TEST_F(BrokenGguf, Types) {
  const std::string want = ", which Caltrop does not read; want one of: F32, F16, BF16, Q8_0, Q4_0, Q4_1";
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {256}, 12, 0)), "tensor 'x': is stored as Q4_K" + want);
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {256}, 4, 0)), "tensor 'x': is stored as type 4" + want);
}

TEST_F(BrokenGguf, Shapes) {
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {1, 1, 1, 1, 1}, 0, 0)),
            "tensor 'x': has 5 dimensions, want 4 or fewer");
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {48, 2}, 8, 0)),
            "tensor 'x': has rows of 48 numbers, want a multiple of 32 for Q8_0");
  const std::string want = " has more than 2^63 - 1 numbers or a negative size";
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {int64_t{1} << 32, int64_t{1} << 32}, 0, 0)),
            "tensor 'x': shape [4294967296, 4294967296] of F32" + want);
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {-1}, 0, 0)), "tensor 'x': shape [-1] of F32" + want);
}

TEST_F(BrokenGguf, Ranges) {
  EXPECT_EQ(
      refusal(GgufBuilder().tensor("x", {2}, 0, 0)),
      "tensor 'x': its 8 bytes begin at byte 0 of the data, but the file ends 0 bytes into the data; an "
      "interrupted download?");
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {2}, 0, ~uint64_t{31})),
            "tensor 'x': its 8 bytes begin at byte 18446744073709551584 of the data, but the file ends 0 "
            "bytes into "
            "the data; an interrupted download?");
  EXPECT_EQ(refusal(GgufBuilder().tensor("x", {int64_t{1} << 61}, 0, ~uint64_t{31})),
            "tensor 'x': 9223372036854775808 bytes from 18446744073709551584 on lie beyond any file");
  GgufBuilder overlap;
  overlap.tensor("x", {16}, 0, 0).tensor("y", {8}, 0, 32).data = std::string(64, '\0');
  EXPECT_EQ(refusal(overlap),
            "tensor 'y': begins at byte 128, want 160 or later where tensor 'x' ends: they overlap");
  GgufBuilder twice;
  twice.tensor("x", {8}, 0, 0).tensor("x", {8}, 0, 32).data = std::string(64, '\0');
  EXPECT_EQ(refusal(twice), "tensor 'x': stands twice in the table");
}

}  // namespace
}  // namespace caltrop
