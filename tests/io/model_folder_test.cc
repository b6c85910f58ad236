#include "caltrop/io/model_folder.h"

#include <unistd.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>

#include "caltrop/base/files.h"
#include "tests/io/io_support.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;
using test::same_bits;

const Json kConfig = {{"model_type", "llama"}, {"an_unknown_key", {1, 2}}, {"hidden_size", 4}};

NamedTensors three_tensors() {  // 16, 16 and 24 bytes
  return {
      {"a", at::arange(4, at::kFloat)}, {"b", at::arange(2, at::kLong)}, {"c", at::ones({6}, at::kFloat)}};
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Training is in fp32 whatever the model came in; transformers would cast to what the config says.
TEST(ModelFolder, TheConfigSaysWhatDtypeIsWritten) {
  const test::ScratchFolder scratch;
  const auto written = [&](const char* name, const Json& config, const NamedTensors& tensors) {
    write_model_folder(scratch / name, config, nullptr, tensors, {});
    return to_line(ModelFolder::open(scratch / name).config());
  };
  const Tensor weight = at::ones({2}, at::kFloat);
  EXPECT_EQ(written("a", {{"torch_dtype", "bfloat16"}, {"x", 1}}, {{"w", weight}}),
            R"({"torch_dtype":"float32","x":1})");
  EXPECT_EQ(written("b", {{"dtype", "bfloat16"}, {"x", 1}}, {{"w", weight}}),
            R"({"x":1,"torch_dtype":"float32"})");
  EXPECT_EQ(written("c", {{"torch_dtype", "float32"}}, {{"w", weight.to(at::kBFloat16)}}),
            R"({"torch_dtype":"bfloat16"})");
}

// What a killed process was writing to the same place goes, and nothing else does.
TEST(ModelFolder, WhatAKilledProcessLeftIsRemoved) {
  const test::ScratchFolder scratch;
  constexpr const char* kNoProcess = "2147483647";  // above the largest that Linux gives
  scratch.write(fmt::format(".m.{}.tmp/model.safetensors", kNoProcess), "half");
  const std::vector<std::string> others = {fmt::format(".m.{}.tmp", ::getppid()),
                                           fmt::format(".n.{}.tmp", kNoProcess), ".m..tmp", ".m.tmp",
                                           ".m.x.tmp"};
  for (const std::string& other : others) scratch.write(other + "/file", "mine");
  write_model_folder(scratch / "m", kConfig, nullptr, three_tensors(), {});
  std::vector<std::string> expected = others;
  expected.push_back("m");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in(scratch.path()), expected);
}

TEST(ModelFolder, WrittenAndReadAgain) {
  const test::ScratchFolder scratch;
  const fs::path path = scratch / "models/new/";  // its parent is made as well
  write_model_folder(path, kConfig, {{"eos_token_id", 2}}, three_tensors(), {{"tokenizer.json", "{}"}});
  EXPECT_EQ(names_in(path), (std::vector<std::string>{"config.json", "generation_config.json",
                                                      "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(names_in(path.parent_path().parent_path()), std::vector<std::string>{"new"})
      << "nothing is left beside it";
  const ModelFolder folder = ModelFolder::open(path);
  Json with_dtype = kConfig;
  with_dtype["torch_dtype"] = "float32";
  EXPECT_EQ(to_line(folder.config()), to_line(with_dtype)) << "unknown keys and their order stay";
  EXPECT_EQ(folder.entries().size(), 3U);
  for (const auto& [name, tensor] : three_tensors())
    EXPECT_TRUE(same_bits(folder.tensor(name), tensor)) << name;
  EXPECT_FALSE(folder.has("d"));
  EXPECT_USER_ERROR(folder.tensor("d"), path.string() + ": has no tensor 'd'");
}

TEST(ModelFolder, ShardsCarryAnIndex) {
  const test::ScratchFolder scratch;
  const fs::path path = scratch / "m";
  write_model_folder(path, kConfig, nullptr, three_tensors(), {}, 32);
  EXPECT_EQ(names_in(path),
            (std::vector<std::string>{"config.json", "model-00001-of-00002.safetensors",
                                      "model-00002-of-00002.safetensors", "model.safetensors.index.json"}));
  const Json expected = {{"metadata", {{"total_size", 56}}},
                         {"weight_map",
                          {{"a", "model-00001-of-00002.safetensors"},
                           {"b", "model-00001-of-00002.safetensors"},
                           {"c", "model-00002-of-00002.safetensors"}}}};
  EXPECT_EQ(read_file(path / "model.safetensors.index.json"), to_pretty(expected));
  const ModelFolder folder = ModelFolder::open(path);
  ASSERT_EQ(folder.entries().size(), 3U);
  EXPECT_EQ(folder.entries()[2].name, "c");
  for (const auto& [name, tensor] : three_tensors())
    EXPECT_TRUE(same_bits(folder.tensor(name), tensor)) << name;
}

TEST(ModelFolder, ATensorLargerThanAShardStandsAlone) {
  const test::ScratchFolder scratch;
  write_model_folder(scratch / "m", kConfig, nullptr, three_tensors(), {}, 1);
  EXPECT_EQ(names_in(scratch / "m").size(), 5U);
  EXPECT_TRUE(same_bits(ModelFolder::open(scratch / "m").tensor("c"), at::ones({6}, at::kFloat)));
}

TEST(ModelFolder, HashIsThatOfSha256sum) {
  const test::ScratchFolder scratch;
  write_model_folder(scratch / "m", kConfig, nullptr, three_tensors(), {{"notes.txt", "x"}}, 32);
  std::string lines;
  for (const char* name :
       {"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    lines += sha256(read_file(scratch / "m" / name)) + "  " + name + "\n";
  }
  EXPECT_EQ(ModelFolder::open(scratch / "m").sha256(), sha256(lines));
  EXPECT_EQ(ModelFolder::open((scratch / "m").string() + "/").sha256(), sha256(lines));
}

TEST(ModelFolder, NeverOverwrites) {
  const test::ScratchFolder scratch;
  const auto write = [&](const fs::path& path) {
    write_model_folder(path, kConfig, nullptr, three_tensors(), {});
  };
  fs::create_directory(scratch / "empty");
  write(scratch / "empty");
  EXPECT_TRUE(fs::exists(scratch / "empty/config.json"));

  const fs::path full = scratch.write("full/mine.txt", "x").parent_path();
  EXPECT_USER_ERROR(write(full),
                    full.string() + ": already holds files (mine.txt, …), want a new or an empty folder");
  const fs::path file = scratch.write("file", "x");
  EXPECT_USER_ERROR(write(file), file.string() + ": is a file, want a new or an empty folder");
  EXPECT_EQ(names_in(full), std::vector<std::string>{"mine.txt"});
}

TEST(ModelFolder, AFailedWriteLeavesNothing) {
  const test::ScratchFolder scratch;
  const fs::path path = scratch / "m";
  EXPECT_USER_ERROR(
      write_model_folder(path, kConfig, nullptr, {{"a", at::ones({1})}, {"a", at::ones({1})}}, {}),
      path.string() + ": tensor 'a': stands twice among those to write");
  EXPECT_THROW(write_model_folder(path, kConfig, nullptr, three_tensors(), {{"no/such/folder.txt", "x"}}),
               UserError);
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

/// Folders broken by hand.
class BrokenModelFolder : public ::testing::Test {
 protected:
  BrokenModelFolder() {
    write_model_folder(path_, kConfig, nullptr, three_tensors(), {}, 32);
    index_ = read_json(path_ / "model.safetensors.index.json");
  }
  void expect_refusal(const std::string& message) const {
    EXPECT_USER_ERROR(ModelFolder::open(path_), path_.string() + message);
  }
  void write_index() const { write_file(path_ / "model.safetensors.index.json", to_pretty(index_)); }
  void remove_weights() const {
    for (const std::string& name : names_in(path_)) {
      if (name != "config.json") fs::remove(path_ / name);
    }
  }

  test::ScratchFolder scratch_;
  fs::path path_ = scratch_ / "m";
  Json index_;
  const std::string first_ = "model-00001-of-00002.safetensors";
  const std::string second_ = "model-00002-of-00002.safetensors";
};

TEST_F(BrokenModelFolder, MissingShard) {
  fs::remove(path_ / second_);
  expect_refusal(
      "/model.safetensors.index.json: names the file 'model-00002-of-00002.safetensors' for 1 tensors, but "
      "it is missing; an incomplete download?");
}

TEST_F(BrokenModelFolder, IndexAndShardsContradict) {
  index_["weight_map"]["d"] = second_;
  write_index();
  expect_refusal(
      "/model.safetensors.index.json: tensor 'd' should lie in 'model-00002-of-00002.safetensors', which "
      "does not have it");
  index_["weight_map"].erase("d");
  index_["weight_map"].erase("a");
  write_index();
  expect_refusal(
      "/model.safetensors.index.json: 'model-00001-of-00002.safetensors' has a tensor 'a' that is not "
      "listed for it; do the files belong together?");
}

TEST_F(BrokenModelFolder, ShardOutsideTheFolder) {
  index_["weight_map"]["a"] = "../x.safetensors";
  write_index();
  expect_refusal("/model.safetensors.index.json: names the file '../x.safetensors', which lies outside " +
                 path_.string());
}

TEST_F(BrokenModelFolder, IndexIsNoIndex) {
  index_["weight_map"]["a"] = 7;
  write_index();
  expect_refusal("/model.safetensors.index.json: tensor 'a' lies in 7, want a file name");
  index_ = {{"weight_map", Json::array()}};
  write_index();
  expect_refusal(
      "/model.safetensors.index.json: 'weight_map' is [], want an object from tensor names to file names");
  index_ = Json::object();
  write_index();
  expect_refusal("/model.safetensors.index.json: 'weight_map' is missing");
}

TEST_F(BrokenModelFolder, TruncatedShardNamesItself) {
  const std::string bytes = read_file(path_ / second_);
  scratch_.write("m/" + second_, bytes.substr(0, bytes.size() - 4));
  expect_refusal(
      fmt::format("/model-00002-of-00002.safetensors: tensor 'c': ends at byte {0}, but the file is shorter "
                  "than its header says: {1} of {0} bytes or more; an interrupted download?",
                  bytes.size(), bytes.size() - 4));
}

TEST_F(BrokenModelFolder, Pickles) {
  remove_weights();
  expect_refusal(": has no weights, want model.safetensors or model.safetensors.index.json");
  scratch_.write("m/pytorch_model.bin", "x");
  expect_refusal(
      ": has its weights in pytorch_model.bin, want model.safetensors; a pickle can run any code when it is "
      "loaded, so "
      "Caltrop never loads one; convert it where you trust it, in Python: "
      "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)");
}

TEST_F(BrokenModelFolder, WithoutConfig) {
  fs::remove(path_ / "config.json");
  expect_refusal(": has no config.json, want a model folder as Hugging Face keeps it");
  scratch_.write("m/adapter_config.json", "{}");
  expect_refusal(
      ": holds an adapter (adapter_config.json), want a whole model with config.json; merge it into its base "
      "model "
      "first, in Python: PeftModel.from_pretrained(base, "
      "adapter).merge_and_unload().save_pretrained(folder)");
  path_ = scratch_.write("x.gguf", "GGUF");
  expect_refusal(": is a GGUF file, want a model folder; `caltrop import` makes one from it");
  path_ = scratch_.write("x.safetensors", "");
  expect_refusal(": is a file, want a folder with config.json");
  path_ = scratch_ / "nowhere";
  expect_refusal(": no such folder; want one with config.json");
}

TEST_F(BrokenModelFolder, NamesThatCannotBe) {
  path_ = scratch_ / std::string(300, 'x');
  expect_refusal(": cannot open: File name too long");
  EXPECT_USER_ERROR(write_model_folder(path_, kConfig, nullptr, three_tensors(), {}),
                    path_.string() + ": cannot write there: File name too long");
  path_ = scratch_ / "loop";
  fs::create_symlink("loop", path_);
  expect_refusal(": cannot open: Too many levels of symbolic links");
  EXPECT_USER_ERROR(write_model_folder(path_, kConfig, nullptr, three_tensors(), {}),
                    path_.string() + ": cannot write there: Too many levels of symbolic links");
}

TEST_F(BrokenModelFolder, ConfigIsNoObject) {
  scratch_.write("m/config.json", "[]");
  expect_refusal("/config.json: is [], want an object");
  scratch_.write("m/config.json", "{\"a\": 1,}");
  EXPECT_THROW(ModelFolder::open(path_), UserError);
}

}  // namespace
}  // namespace caltrop
