#include "caltrop/run/import.h"

#include "caltrop/base/files.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/model/model.h"
#include "caltrop/run/model_files.h"
#include "caltrop/text/chat.h"
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

TEST(Import, ABuiltInChatFormatBecomesTheTemplate) {
  const test::ScratchFolder scratch;
  const fs::path source = test::write_tiny_folder(scratch / "base");
  const std::vector<Message> pair = {{"user", "Why?"}, {"assistant", "So."}};
  import_model(source, scratch / "out", "question_answer");
  EXPECT_THAT(ChatTemplate::load(scratch / "out").render(pair, false).text,
              testing::StartsWith("Question: Why?\nAnswer: So."));
  import_model(scratch / "out", scratch / "again", "plain");  // in place of the one that is there
  EXPECT_THAT(ChatTemplate::load(scratch / "again").render(pair, false).text, testing::StartsWith("Why?So."));
  EXPECT_USER_ERROR(import_model(source, scratch / "none", "llama"),
                    "chat: no built-in format 'llama'; it has: plain, alpaca, question_answer");
  EXPECT_FALSE(fs::exists(scratch / "none"));
}

// A model and a tokenizer that do not fit together are shown all the same: that is how one finds out.
TEST(Import, WhatDoesNotFitIsWarnedOf) {
  const test::ScratchFolder scratch;
  const fs::path source = test::write_tiny_folder(scratch / "base");
  const ModelFolder files = ModelFolder::open(source);
  const auto described = [&](const char* name, const char* key, const Json& value, int64_t rows) {
    Json config = files.config();
    config[key] = value;
    NamedTensors tensors;
    for (const TensorEntry& entry : files.entries()) {
      const Tensor tensor = files.tensor(entry.name);
      tensors.emplace_back(entry.name, tensor.size(0) == 512 ? tensor.narrow(0, 0, rows) : tensor);
    }
    write_model_folder(scratch / name, config, nullptr, tensors, text_files(source));
    testing::internal::CaptureStderr();
    const std::string text = describe_model(scratch / name);
    return text + testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(described("ends", "eos_token_id", 700, 512),
              testing::AllOf(testing::HasSubstr("ends answers  (700)\n"),
                             testing::HasSubstr("answers end with the id 700, which no token has")));
  EXPECT_THAT(described("narrow", "vocab_size", 300, 300),
              testing::HasSubstr("the tokenizer has ids up to 511, the model embeddings for 0 to 299"));
}

TEST(Import, ErrorsSayWhatIsWrong) {
  const test::ScratchFolder scratch;
  const std::string nowhere = (scratch / "nowhere").string();
  EXPECT_USER_ERROR(import_model(nowhere, scratch / "out"),
                    fmt::format("import: {} does not exist", nowhere));
  const std::string loop = (scratch / "loop").string();
  fs::create_symlink("loop", loop);
  EXPECT_USER_ERROR(import_model(loop, scratch / "out"),
                    fmt::format("import: cannot open {}: Too many levels of symbolic links", loop));
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
