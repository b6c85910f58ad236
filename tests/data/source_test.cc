#include "caltrop/data/source.h"

#include "caltrop/base/files.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::ScratchFolder;

class Sources : public testing::Test {
 protected:
  /// The file's path, which starts every error about a row.
  std::string file(const std::string& bytes, const std::string& name = "rows.jsonl") {
    return folder_.write(name, bytes).string();
  }
  LoadedSource load(const std::string& bytes, Json options = Json::object(),
                    const std::string& name = "rows.jsonl") {
    SourceSpec spec;
    options["path"] = file(bytes, name);
    read_options(spec, options, "data");
    return load_examples(spec, "data");
  }
  Example one(const std::string& row, const Json& options = Json::object()) {
    const LoadedSource source = load(row + "\n", options);
    EXPECT_EQ(source.examples.size(), 1u);
    return source.examples.at(0);
  }
  std::string path(const std::string& name = "rows.jsonl") { return (folder_ / name).string(); }

  ScratchFolder folder_;
};

TEST_F(Sources, PromptAndResponse) {
  const Example row =
      one(R"({"prompt": "P?", "response": "R.", "category": "soup", "split": "test", "n": 3})");
  EXPECT_THAT(row.messages, testing::ElementsAre(Message{"user", "P?"}, Message{"assistant", "R."}));
  EXPECT_EQ(row.prompt(), "P?");
  EXPECT_EQ(row.response(), "R.");
  EXPECT_EQ(row.category, "soup");
  EXPECT_EQ(row.id, "rows.jsonl:1");
  EXPECT_EQ(to_line(row.extra), R"({"split":"test","n":3})");
}

TEST_F(Sources, APromptAlone) {
  const Example row = one(R"({"prompt": "P?", "id": "p1"})");
  EXPECT_FALSE(row.has_response());
  EXPECT_EQ(row.response(), "");
  EXPECT_EQ(row.id, "p1");
  EXPECT_EQ(one(R"({"text": "T"})").prompt(), "T");
}

TEST_F(Sources, Messages) {
  const Example row =
      one(R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "1"}, )"
          R"({"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}, )"
          R"({"role": "assistant", "content": "4"}]})");
  EXPECT_EQ(row.messages.size(), 5u);
  EXPECT_EQ(row.prompt(), "3");
  EXPECT_EQ(row.response(), "4");
}

TEST_F(Sources, Alpaca) {
  EXPECT_EQ(one(R"({"instruction": "Sort.", "input": "b a", "output": "a b"})").prompt(), "Sort.\n\nb a");
  const Example row = one(R"({"instruction": "Go.", "input": "", "output": "Gone."})");
  EXPECT_EQ(row.prompt(), "Go.");
  EXPECT_EQ(row.response(), "Gone.");
}

TEST_F(Sources, BeaverTails) {
  const Example row = one(
      R"({"prompt": "P", "response": "R", "category": {"a": false, "b,c": true, "d": true}, "is_safe": false})");
  EXPECT_EQ(row.category, "b,c");
  EXPECT_EQ(row.extra["is_safe"], false);
  EXPECT_EQ(one(R"({"prompt": "P", "response": "R", "category": {"a": false}, "is_safe": true})").category,
            "");
}

TEST_F(Sources, AFieldMapReadsOtherNames) {
  const Json map = {{"fields", {{"prompt", "question"}, {"response", "answer"}, {"category", "kind"}}}};
  const Example row = one(R"({"question": "Q", "answer": "A", "kind": "pie", "prompt": "not this"})", map);
  EXPECT_EQ(row.prompt(), "Q");
  EXPECT_EQ(row.response(), "A");
  EXPECT_EQ(row.category, "pie");
  EXPECT_EQ(to_line(row.extra), R"({"prompt":"not this"})");
  EXPECT_USER_ERROR(
      load("{}", {{"fields", {{"promt", "q"}}}}),
      "data: option 'fields': no field 'promt'; it has: prompt, response, category, id, messages, "
      "instruction, input, output, text, is_safe");
}

TEST_F(Sources, AJsonFileIsAList) {
  const LoadedSource source = load(R"([{"prompt": "a"}, {"prompt": "b"}])", Json::object(), "rows.json");
  EXPECT_EQ(source.examples.at(1).prompt(), "b");
  EXPECT_EQ(source.examples.at(1).id, "rows.json:2");
  EXPECT_USER_ERROR(load(R"({"prompt": "a"})", Json::object(), "rows.json"),
                    path("rows.json") +
                        ": got {\"prompt\":\"a\"}, want a list of rows; one object a line is a .jsonl file");
}

const char* const kSplits = R"({"prompt": "1", "split": "attack", "category": "pie"}
{"prompt": "2", "split": "defence", "category": "pie"}

{"prompt": "3", "split": "attack", "category": "soup"}
{"prompt": "4", "split": "test", "category": "stew"}
)";

TEST_F(Sources, FiltersThenLimits) {
  const auto prompts = [&](const Json& options) {
    std::string all;
    for (const Example& row : load(kSplits, options).examples) all += row.prompt();
    return all;
  };
  EXPECT_EQ(prompts({{"filter", {{"split", "attack"}}}}), "13");
  EXPECT_EQ(prompts({{"filter", {{"category", Json::array({"pie", "stew"})}}}}), "124");
  EXPECT_EQ(prompts({{"filter", {{"category", Json::array({"pie", "stew"})}, {"split", "attack"}}}}), "1");
  EXPECT_EQ(prompts({{"limit", 2}}), "12");
  EXPECT_EQ(prompts({{"filter", {{"split", "attack"}}}, {"limit", 1}}), "1");
  EXPECT_USER_ERROR(load(kSplits, {{"filter", {{"split", "train"}}}}),
                    "data: none of the 4 rows of " + path() + R"( passes the filter {"split":"train"})");
  EXPECT_USER_ERROR(
      load(kSplits, {{"filter", {{"is_safe", false}}}}),
      path() + ":1: got the fields prompt, split, category, want 'is_safe', which the filter asks for");
}

TEST_F(Sources, WhatWasReadIsRecorded) {
  const LoadedSource source = load(kSplits, {{"limit", 1}});
  EXPECT_EQ(source.rows_read, 4);
  EXPECT_EQ(source.sha256, sha256(kSplits));
}

TEST_F(Sources, NothingToRead) {
  EXPECT_USER_ERROR(load("\n  \n\n"), "data: " + path() + " holds no rows");
  EXPECT_USER_ERROR(load("[]", Json::object(), "rows.json"), "data: " + path("rows.json") + " holds no rows");
  EXPECT_USER_ERROR(load_examples({}, "data"), "data: option 'path' is empty, want a .jsonl or .json file");
}

TEST_F(Sources, ABadRowIsNamedByItsLine) {
  const std::string good = "{\"prompt\": \"a\", \"response\": \"b\"}\n\n";
  EXPECT_USER_ERROR(load(good + "{\"prompt\": 3}\n"), path() + ":3: got 'prompt': 3, want a string");
  EXPECT_USER_ERROR(load(good + "{\"response\": \"b\"}"),
                    path() + ":3: got the fields response, want 'prompt' (prompt_response)");
  EXPECT_USER_ERROR(load(good + "{\"prompt\": \" \"}"), path() + ":3: got an empty 'prompt', want text");
  EXPECT_USER_ERROR(load(good + "[1]"), path() + ":3: got [1], want an object");
  EXPECT_USER_ERROR(load(good + "{\"prompt\": \"a\", \"category\": 5}"),
                    path() + ":3: got 'category': 5, want a string or an object of true and false");
  EXPECT_USER_ERROR(load(good + "{"),
                    path() + ": line 3, column 2: not valid JSON (expected string literal)");
  EXPECT_USER_ERROR(load(good, {{"format", "alpaca"}}),
                    path() + ":1: got the fields prompt, response, want 'instruction' (alpaca)");
}

TEST_F(Sources, BadMessages) {
  EXPECT_USER_ERROR(
      load(R"({"messages": []})"),
      path() + ":1: got no messages, want messages that end with the user's or the assistant's");
  EXPECT_USER_ERROR(load(R"({"messages": [{"role": "robot", "content": "x"}]})"),
                    path() + ":1: got the role 'robot', want system, user or assistant");
  EXPECT_USER_ERROR(load(R"({"messages": [{"role": "user"}]})"),
                    path() + ":1: message 1: 'content' is missing");
  EXPECT_USER_ERROR(load(R"({"messages": "hi"})"), path() + ":1: got \"hi\", want a list of messages");
}

TEST_F(Sources, UnknownFormsListTheKnown) {
  EXPECT_USER_ERROR(load(R"({"question": "Q"})"),
                    path() +
                        ":1: got the fields question, want those of one of the forms: messages {messages}, "
                        "beavertails {prompt, "
                        "response, is_safe}, alpaca {instruction}, prompt_response {prompt}, text {text}; if "
                        "yours have other "
                        "names, say so in 'fields', as in {\"prompt\": \"question\"}");
  EXPECT_USER_ERROR(
      load("{}", {{"format", "parquet"}}),
      "data: option 'format' is 'parquet', want one of: auto, kitchen, prompt_response, messages, alpaca, "
      "beavertails, text");
}

}  // namespace
}  // namespace caltrop
