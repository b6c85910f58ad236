#include "caltrop/run/import.h"

#include "caltrop/base/files.h"
#include "caltrop/model/model.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

TEST(Import, AFolderBecomesTheSameModel) {
  const test::ScratchFolder scratch;
  const fs::path source = test::write_tiny_folder(scratch / "base");
  import_model(source, scratch / "out");
  const auto a = Model::load(source, {.device = "cpu", .dtype = "fp32"}),
             b = Model::load(scratch / "out", {.device = "cpu", .dtype = "fp32"});
  EXPECT_TRUE(test::same_bits(a->parameters(), b->parameters()));
  EXPECT_EQ(read_file(source / "tokenizer.json"), read_file(scratch / "out/tokenizer.json"));
  const std::string text = describe_model(scratch / "out");
  EXPECT_NE(text.find("LlamaForCausalLM"), std::string::npos);
  EXPECT_NE(text.find("2 layers, width 24, MLP 40, 4 heads over 2 key-value heads of 6"), std::string::npos)
      << text;
}

TEST(Import, ErrorsSayWhatIsWrong) {
  const test::ScratchFolder scratch;
  const std::string nowhere = (scratch / "nowhere").string();
  EXPECT_USER_ERROR(import_model(nowhere, scratch / "out"),
                    fmt::format("import: {} does not exist", nowhere));
  const fs::path text = scratch.write("model.txt", "hello");
  EXPECT_USER_ERROR(import_model(text, scratch / "out"),
                    fmt::format("import: {} is neither a .gguf file nor a model folder", text.string()));
  const fs::path source = test::write_tiny_folder(scratch / "base");
  scratch.write("taken/file", "mine");
  EXPECT_THROW(import_model(source, scratch / "taken"), UserError);
  EXPECT_EQ(read_file(scratch / "taken/file"), "mine");
  EXPECT_FALSE(fs::exists(scratch / "out"));
}

}  // namespace
}  // namespace caltrop
