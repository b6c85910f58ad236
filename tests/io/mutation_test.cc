// Small valid files with every byte changed and every length cut: opening them and reading all tensors works
// or throws UserError. A crash or another exception fails, and so does a tensor that reaches outside its file
// (which a sanitizer would not see: the rest of a mapped page is readable).
#include <ATen/ops/ones.h>

#include "caltrop/base/files.h"
#include "caltrop/io/gguf.h"
#include "caltrop/io/gguf_names.h"
#include "caltrop/io/safetensors.h"
#include "tests/io/io_support.h"

namespace caltrop {
namespace {

using test::bytes_of;
using test::gguf_text;

struct Outcome {
  int worked = 0, refused = 0;
};

/// Calls `read` on files one after the other and counts what became of them.
template <typename Read>
class Trial {
 public:
  explicit Trial(Read read) : read_(std::move(read)) {}
  void operator()(const std::string& bytes) {
    const auto path = folder_.write("mutated", bytes);
    try {
      read_(path);
      ++outcome.worked;
    } catch (const UserError&) {
      ++outcome.refused;
    }
    std::filesystem::remove(path);  // ext4 syncs a file that is truncated and written again: 20 times slower
  }
  Outcome outcome;

 private:
  test::ScratchFolder folder_;
  Read read_;
};

/// `bytes` cut at each length, and with each byte changed in thirteen ways.
template <typename Read>
Outcome mutate(const std::string& bytes, const Read& read) {
  Trial trial(read);
  for (size_t at = 0; at < bytes.size(); ++at) {
    trial(bytes.substr(0, at));
    std::string mutated = bytes;
    for (const int change : {0x01, 0x02, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      mutated[at] = static_cast<char>(bytes[at] ^ change);
      trial(mutated);
    }
    for (const char value : {'\0', '\xff', '9', '"', '}', 'e'}) {
      mutated[at] = value;
      trial(mutated);
    }
  }
  return trial.outcome;
}

/// Every tensor's every byte.
template <typename File>
void read_all(const File& file) {
  const uint64_t size = std::filesystem::file_size(file.path());
  for (const auto& entry : file.entries()) {
    ASSERT_LE(entry.begin, entry.end) << entry.name;
    ASSERT_LE(entry.end, size) << entry.name;
    file.tensor(entry.name).clone();
  }
}

TEST(Mutation, Safetensors) {
  const test::ScratchFolder folder;
  write_safetensors(folder / "valid", {{"half", at::ones({2, 3}, at::kHalf)},
                                       {"long", at::ones({1}, at::kLong)},
                                       {"none", at::ones({0, 4})},
                                       {"bool", at::ones({3}, at::kBool)}});
  const std::string valid = read_file(folder / "valid");
  const Outcome outcome = mutate(valid, [](const auto& path) { read_all(*SafetensorsFile::open(path)); });
  EXPECT_GT(outcome.worked, 100) << "changed data, names and metadata are still a sound file";
  EXPECT_GT(outcome.refused, 1000);
}

TEST(Mutation, Gguf) {
  test::GgufBuilder builder;
  builder.text_key("general.architecture", "llama").key("general.alignment", 4, uint32_t{32});
  builder.key("f", 6, 1.0f).key("b", 7, uint8_t{1});
  builder.raw_key("words", 9,
                  bytes_of(uint32_t{8}) + bytes_of(uint64_t{2}) + gguf_text("a") + gguf_text("b"));
  builder.tensor("a", {3}, 0, 0).tensor("b", {32}, 8, 32).tensor("c", {64, 1}, 3, 96);
  builder.data = std::string(32 + 64 + 40, '\x3c');
  const Outcome outcome = mutate(builder.bytes(), [](const auto& path) { read_all(*GgufFile::open(path)); });
  EXPECT_GT(outcome.worked, 1000);
  EXPECT_GT(outcome.refused, 1000);
}

TEST(Mutation, GgufMetadataOfAWholeModel) {
  // The import itself on a file whose metadata and table lie; its data, which may hold anything, is left
  // alone.
  const std::string valid = read_file(test::data_file("io/llama.gguf"));
  const size_t head = GgufFile::open(test::data_file("io/llama.gguf"))->entries()[0].begin;
  Trial trial([](const auto& path) { import_gguf(*GgufFile::open(path)); });
  for (size_t at = 0; at < head; ++at) {
    std::string mutated = valid;
    mutated[at] = static_cast<char>(mutated[at] ^ (at % 2 == 0 ? 0xff : 0x04));
    trial(mutated);
  }
  EXPECT_GT(trial.outcome.worked, 20);
  EXPECT_GT(trial.outcome.refused, 1000);
}

}  // namespace
}  // namespace caltrop
