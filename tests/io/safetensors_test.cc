#include "caltrop/io/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "caltrop/base/files.h"
#include "tests/io/io_support.h"

namespace caltrop {
namespace {

using test::same_bits;

/// As tools/make_safetensors_baselines.py fills a tensor: i - 2, or i without a sign, or "i is odd".
Tensor baseline(at::ScalarType dtype) {
  if (dtype == at::kBool) return at::arange(6).remainder(2).reshape({2, 3}).to(dtype);
  const int64_t first = dtype == at::kByte ? 0 : -2;
  return at::arange(first, first + 6).reshape({2, 3}).to(dtype);
}

NamedTensors baseline_tensors() {
  return {{"float64", baseline(at::kDouble)},
          {"float32", baseline(at::kFloat)},
          {"float16", baseline(at::kHalf)},
          {"bfloat16", baseline(at::kBFloat16)},
          {"int64", baseline(at::kLong)},
          {"int32", baseline(at::kInt)},
          {"int16", baseline(at::kShort)},
          {"int8", baseline(at::kChar)},
          {"uint8", baseline(at::kByte)},
          {"bool", baseline(at::kBool)},
          {"a scalar", at::scalar_tensor(-2.0f)},
          {"empty", at::zeros({3, 0, 2})},
          {"quote \" and ü", at::tensor({-2.0f, -1.0f})}};
}

TEST(Safetensors, ReadsWhatTheWheelWrote) {
  const auto file = SafetensorsFile::open(test::data_file("io/wheel.safetensors"));
  EXPECT_EQ(file->metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  const NamedTensors expected = baseline_tensors();
  EXPECT_EQ(file->entries().size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(file->has(name)) << name;
    EXPECT_TRUE(same_bits(file->tensor(name), tensor)) << name;
  }
}

TEST(Safetensors, WritesTheVeryBytesOfTheWheel) {
  const test::ScratchFolder folder;
  NamedTensors tensors = baseline_tensors();
  tensors[0].second = tensors[0].second.t().contiguous().t();  // not contiguous
  tensors[1].second = tensors[1].second.set_requires_grad(true);
  write_safetensors(folder / "ours.safetensors", tensors);
  EXPECT_EQ(read_file(folder / "ours.safetensors"), read_file(test::data_file("io/wheel.safetensors")));
}

TEST(Safetensors, TensorsLieInTheMappingAndKeepItAlive) {
  const test::ScratchFolder folder;
  write_safetensors(folder / "x.safetensors", {{"x", at::arange(4, at::kFloat)}}, {});
  Tensor x;
  {
    const auto file = SafetensorsFile::open(folder / "x.safetensors");
    x = file->tensor("x");
    EXPECT_EQ(x.const_data_ptr(), file->tensor("x").const_data_ptr()) << "no copy was made";
    EXPECT_TRUE(file->metadata().empty());
  }
  std::filesystem::remove(folder / "x.safetensors");
  EXPECT_TRUE(same_bits(x, at::arange(4, at::kFloat)));
}

TEST(Safetensors, WritingIntoATensorLeavesTheFileAlone) {
  const test::ScratchFolder folder;
  write_safetensors(folder / "x.safetensors", {{"x", at::arange(4, at::kFloat)}});
  const std::string before = read_file(folder / "x.safetensors");
  SafetensorsFile::open(folder / "x.safetensors")->tensor("x").zero_();
  EXPECT_EQ(read_file(folder / "x.safetensors"), before);
}

TEST(Safetensors, MisalignedDataIsCopied) {
  const test::ScratchFolder folder;
  const std::string header = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_NE(header.size() % 4, 0U);
  std::string bytes = test::safetensors_bytes(header, 0) + test::bytes_of(1.5f) + test::bytes_of(-2.5f);
  const auto file = SafetensorsFile::open(folder.write("x.safetensors", bytes));
  EXPECT_TRUE(same_bits(file->tensor("x"), at::tensor({1.5f, -2.5f})));
}

TEST(Safetensors, EntriesStandInFileOrder) {
  const test::ScratchFolder folder;
  const std::string header =
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"none":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},)"
      R"("a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})";
  const auto file = SafetensorsFile::open(folder.write("x", test::safetensors_bytes(header, 3)));
  ASSERT_EQ(file->entries().size(), 3U);
  EXPECT_EQ(file->entries()[0].name, "a");
  EXPECT_EQ(file->entries()[1].name, "none");
  EXPECT_EQ(file->entries()[2].name, "b");
  EXPECT_EQ(file->entries()[2].begin, 8 + header.size() + 1);
  EXPECT_EQ(file->entries()[2].end, 8 + header.size() + 3);
}

TEST(Safetensors, EmptyFileOfTheFormat) {
  const test::ScratchFolder folder;
  write_safetensors(folder / "none.safetensors", {}, {});
  EXPECT_TRUE(SafetensorsFile::open(folder / "none.safetensors")->entries().empty());
}

TEST(Safetensors, RefusesToWriteWhatItCouldNotRead) {
  const test::ScratchFolder folder;
  const auto path = folder / "x.safetensors";
  const Tensor one = at::zeros({1});
  EXPECT_USER_ERROR(write_safetensors(path, {{"a", one}, {"b", one}, {"a", one}}),
                    path.string() + ": tensor 'a': stands twice among those to write");
  EXPECT_USER_ERROR(write_safetensors(path, {{"__metadata__", one}}),
                    path.string() + ": tensor '__metadata__': the format keeps this name for itself");
  EXPECT_USER_ERROR(write_safetensors(path, {{"z", at::zeros({1}, at::kComplexFloat)}}),
                    path.string() +
                        ": tensor 'z': cannot write ComplexFloat, want one of: I64, F64, F32, I32, BF16, "
                        "F16, I16, I8, U8, BOOL");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Safetensors, UnknownTensorIsNamed) {
  const auto path = test::data_file("io/wheel.safetensors");
  EXPECT_USER_ERROR(SafetensorsFile::open(path)->tensor("none"), path.string() + ": has no tensor 'none'");
}

/// Files broken by hand: each breaks one rule, and the message says which.
class BrokenSafetensors : public ::testing::Test {
 protected:
  /// The message on opening a file with these bytes, without the file's name.
  std::string refusal(const std::string& bytes) const {
    const auto path = folder_.write("x", bytes);
    try {
      SafetensorsFile::open(path);
    } catch (const UserError& error) {
      const std::string text = error.what();
      const std::string prefix = path.string() + ": ";
      EXPECT_EQ(text.substr(0, prefix.size()), prefix);
      return text.substr(prefix.size());
    }
    return "opened";
  }
  std::string header_refusal(const std::string& header, size_t data = 4) const {
    return refusal(test::safetensors_bytes(header, data));
  }
  std::string entry_refusal(const std::string& entry, size_t data = 4) const {
    return header_refusal("{\"x\":" + entry + "}", data);
  }

 private:
  test::ScratchFolder folder_;
};

TEST_F(BrokenSafetensors, HeaderLength) {
  EXPECT_EQ(refusal(""), "not a safetensors file: 0 bytes, want 8 or more; it is empty");
  EXPECT_EQ(refusal("1234567"), "not a safetensors file: 7 bytes, want 8 or more");
  EXPECT_EQ(refusal(test::bytes_of(uint64_t{0})),
            "not a safetensors file: its header of 0 bytes does not begin with '{'");
  EXPECT_EQ(
      refusal(test::bytes_of(uint64_t{1} << 63) + "{}"),
      "not a safetensors file: its header would have 9223372036854775808 bytes, want 100000000 or fewer");
  EXPECT_EQ(
      refusal(test::bytes_of(~uint64_t{0})),
      "not a safetensors file: its header would have 18446744073709551615 bytes, want 100000000 or fewer");
  EXPECT_EQ(refusal(test::bytes_of(uint64_t{5000}) + "{"),
            "the file is shorter than its header: 9 of 5008 bytes; an interrupted download?");
  EXPECT_EQ(header_refusal(" {}", 0),
            "not a safetensors file: its header of 3 bytes does not begin with '{'");
}

TEST_F(BrokenSafetensors, AnotherKindOfFile) {
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
              ::testing::EndsWith(
                  "; it is a Git LFS pointer, not the file itself: run `git lfs pull` where it came from"));
  EXPECT_THAT(refusal("<!DOCTYPE html><html></html>"),
              ::testing::EndsWith("; it is a web page, perhaps a download's error message"));
  EXPECT_THAT(refusal("PK\x03\x04 archive/data.pkl"),
              ::testing::EndsWith("; it may be a Python pickle (torch.save), which Caltrop never loads"));
  EXPECT_THAT(refusal("GGUF\x03 and more"), ::testing::EndsWith("; it is a GGUF file"));
}

TEST_F(BrokenSafetensors, HeaderText) {
  EXPECT_THAT(header_refusal("{\"x\":}"), ::testing::StartsWith("header: line 1, column 6: not valid JSON"));
  EXPECT_EQ(header_refusal(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"x":{}})"),
            "header: the key 'x' stands twice in one object");
  EXPECT_EQ(entry_refusal(std::string(100'000, '[')), "header: nested more than 200 levels deep");
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[1e999],"data_offsets":[0,4]})"),
            "header: line 1, column 29: the number 1e999 is too large");
  EXPECT_EQ(entry_refusal("[]"), "tensor 'x': got a list, want an object with 'dtype'");
  EXPECT_EQ(entry_refusal("{}"), "tensor 'x': 'dtype' is missing");
  EXPECT_EQ(header_refusal(R"({"__metadata__":{"a":1}})", 0), "'__metadata__': 'a' is 1, want a string");
  EXPECT_EQ(header_refusal(R"({"__metadata__":[]})", 0), "'__metadata__' is [], want an object");
}

TEST_F(BrokenSafetensors, Dtype) {
  EXPECT_EQ(
      entry_refusal(R"({"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})"),
      "tensor 'x': dtype is 'F8_E4M3', which Caltrop does not read; want one of: I64, F64, F32, I32, BF16, "
      "F16, I16, I8, U8, BOOL");
  EXPECT_EQ(entry_refusal(R"({"dtype":7,"shape":[4],"data_offsets":[0,4]})"),
            "tensor 'x': 'dtype' is an integer, want a string");
}

TEST_F(BrokenSafetensors, Shape) {
  const std::string want = ", want a list of integers from 0 to 2^63 - 1";
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})"),
            "tensor 'x': 'shape' is [-4]" + want);
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})"),
            "tensor 'x': 'shape' is [4.0]" + want);
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,4]})"),
            "tensor 'x': 'shape' is [9223372036854775808]" + want);
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})"),
            "tensor 'x': 'shape' is 4" + want);
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[4294967296,4294967297],"data_offsets":[0,4]})"),
            "tensor 'x': shape [4294967296, 4294967297] of U8 has more than 2^63 - 1 bytes");
  EXPECT_EQ(entry_refusal(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]})"),
            "tensor 'x': shape [4611686018427387904] of F32 has more than 2^63 - 1 bytes");
}

TEST_F(BrokenSafetensors, Range) {
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})"),
            "tensor 'x': data_offsets are [4, 0], want begin <= end");
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4,8]})"),
            "tensor 'x': 'data_offsets' is [0,4,8], want a list of 2 integers from 0 to 2^63 - 1");
  EXPECT_EQ(entry_refusal(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
            "tensor 'x': data_offsets [0, 4] hold 4 bytes, want 8 for shape [2] of F32");
  EXPECT_EQ(
      entry_refusal(R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})"),
      "tensor 'x': ends at byte 70, but the file is shorter than its header says: 65 of 70 bytes or more; an "
      "interrupted download?");
  EXPECT_EQ(
      entry_refusal(R"({"dtype":"U8","shape":[0],"data_offsets":[9223372036854775807,9223372036854775807]})"),
      "tensor 'x': ends at byte 9223372036854775904, but the file is shorter than its header says: 101 of "
      "9223372036854775904 bytes or more; an interrupted download?");
}

TEST_F(BrokenSafetensors, HolesOverlapsAndRests) {
  const std::string x = R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  EXPECT_EQ(header_refusal("{" + x + R"(,"y":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})"),
            "tensor 'y': begins at byte 116, want 115 where tensor 'x' ends: there is a hole");
  EXPECT_EQ(header_refusal("{" + x + R"(,"y":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})"),
            "tensor 'y': begins at byte 114, want 115 where tensor 'x' ends: they overlap");
  EXPECT_EQ(entry_refusal(R"({"dtype":"U8","shape":[3],"data_offsets":[1,4]})"),
            "tensor 'x': begins at byte 62, want 61 where the header ends: there is a hole");
  EXPECT_EQ(header_refusal("{" + x + "}"),
            "holds 2 bytes behind its last tensor, want 0; was something appended to it?");
}

}  // namespace
}  // namespace caltrop
