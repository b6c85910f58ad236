#include "caltrop/run/talk.h"

#include <sstream>

#include "caltrop/base/files.h"
#include "caltrop/data/collate.h"
#include "caltrop/io/model_folder.h"
#include "caltrop/run/model_files.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// The tiny folder with embeddings for the first `vocabulary` ids only.
fs::path folder_with_vocabulary(const test::ScratchFolder& scratch, int64_t vocabulary) {
  const fs::path whole = test::write_tiny_folder(scratch / "whole");
  const ModelFolder files = ModelFolder::open(whole);
  Json config = files.config();
  config["vocab_size"] = vocabulary;
  NamedTensors tensors;
  for (const TensorEntry& entry : files.entries()) {
    const Tensor tensor = files.tensor(entry.name);
    const bool has_row_for_each_id =
        entry.name == "model.embed_tokens.weight" || entry.name == "lm_head.weight";
    tensors.emplace_back(entry.name, has_row_for_each_id ? tensor.narrow(0, 0, vocabulary) : tensor);
  }
  write_model_folder(scratch / "cut", config, nullptr, tensors, text_files(whole));
  return scratch / "cut";
}

TEST(Talk, ATokenThatTheModelHasNoEmbeddingForIsNamed) {
  const test::ScratchFolder scratch;
  const fs::path folder = folder_with_vocabulary(scratch, 300);
  const ChatEncoder encoder = ChatEncoder::load(scratch / "whole");
  Example example;
  example.messages = {{"user", "The cook"}};
  const std::vector<int64_t> ids = encoder.encode_prompt(example, 1000).ids;
  const auto beyond = std::find_if(ids.begin(), ids.end(), [](int64_t id) { return id >= 300; });
  ASSERT_NE(beyond, ids.end());
  const std::string why = fmt::format(
      ": the token '{}' of {} has the id {}, but the model has embeddings for 0 to 299; is the tokenizer of "
      "another model?",
      encoder.tokenizer().id_to_token(*beyond), (folder / "tokenizer.json").string(), *beyond);

  const ModelOptions compute{.device = "cpu", .dtype = "fp32"};
  GenerateOptions options;
  options.max_new_tokens = 1;
  const fs::path prompts = scratch.write("p.jsonl", "{\"prompt\": \"The cook\"}\n");
  EXPECT_USER_ERROR(generate_file(folder, compute, options, 0, prompts, scratch / "out.jsonl"),
                    "example " + prompts.string() + ":1" + why);
  EXPECT_FALSE(fs::exists(scratch / "out.jsonl"));
  std::istringstream in("The cook\n");
  std::ostringstream out;
  EXPECT_USER_ERROR(chat(folder, compute, options, 0, in, out), "an example" + why);
}

}  // namespace
}  // namespace caltrop
