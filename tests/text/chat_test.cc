#include "caltrop/text/chat.h"

#include <fstream>
#include <sstream>

#include "caltrop/base/files.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::data_file;
using test::ScratchFolder;

ChatTemplate in_format(const std::string& format, const ChatTemplate::SpecialTokens& tokens) {
  return ChatTemplate::from_source(chat_format(format).source, tokens, format);
}

const ChatTemplate::SpecialTokens kTokens = {
    {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"pad_token", "<pad>"}, {"unk_token", "<unk>"}};

ChatTemplate chat_of(const std::string& source) { return ChatTemplate::from_source(source, kTokens, "test"); }

/// What the assistant says, as text.
std::vector<std::string> said(const RenderedChat& chat) {
  std::vector<std::string> all;
  for (const Span& span : chat.assistant) all.push_back(chat.text.substr(span.begin, span.size()));
  return all;
}

const std::vector<Message> kTwoAnswers = {
    {"user", "Hi"}, {"assistant", "Hello ü!"}, {"user", "Soup?"}, {"assistant", "Boil it."}};

// tests/data/templates rendered by jinja2, with the spans of transformers (tools/compare_templates.py --golden).
TEST(Chat, GivesWhatTransformersGives) {
  int rows = 0;
  read_json_lines(data_file("templates/golden.jsonl"), [&](const Json& row, int64_t line) {
    if (!row.contains("template")) return;
    ++rows;
    const auto name = row["template"].get<std::string>();
    const ChatTemplate chat =
        ChatTemplate::from_source(read_file(data_file("templates/" + name + ".jinja")), kTokens, name);
    const std::vector<Message> messages = messages_from_json(row["messages"], name);
    const bool prompts = messages.back().role != "assistant";
    if (row["expected"].is_null()) {
      EXPECT_THROW(chat.render(messages, prompts), UserError) << name << ", line " << line;
      return;
    }
    const RenderedChat rendered = chat.render(messages, prompts);
    EXPECT_EQ(rendered.text, row["expected"]["text"].get<std::string>()) << name << ", line " << line;
    Json spans = Json::array();
    for (const Span& span : rendered.assistant) spans.push_back(Json::array({span.begin, span.end}));
    EXPECT_EQ(spans, row["expected"]["assistant"]) << name << ", line " << line;
  });
  EXPECT_EQ(rows, 7 * 17);
}

TEST(Chat, TheEndOfATurnIsSaidAndTheLineFeedAfterItIsNot) {
  const ChatTemplate chat = ChatTemplate::load(data_file("tiny-model"));
  EXPECT_THAT(said(chat.render(kTwoAnswers, false)),
              testing::ElementsAre("Hello ü!<|im_end|>", "Boil it.<|im_end|>"));
}

TEST(Chat, WithoutAMarkWhiteSpaceEndsTheTurn) {
  const ChatTemplate chat = chat_of(
      "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}");
  EXPECT_THAT(said(chat.render(kTwoAnswers, false)), testing::ElementsAre("Hello ü!\n", "Boil it.\n"));
}

TEST(Chat, SpaceThatTheAssistantSaysIsSaid) {
  const ChatTemplate chat = ChatTemplate::load(data_file("tiny-model"));
  const std::vector<Message> messages = {{"user", "Hi"}, {"assistant", " a \n"}};
  EXPECT_THAT(said(chat.render(messages, false)), testing::ElementsAre(" a \n<|im_end|>"));
  const std::vector<Message> silent = {{"user", "Hi"}, {"assistant", ""}};
  EXPECT_THAT(said(chat.render(silent, false)), testing::ElementsAre("<|im_end|>"));
}

TEST(Chat, ATemplateThatRewritesEarlierTurnsIsRefusedWhereItMatters) {
  const ChatTemplate chat =
      chat_of("{% for m in messages %}[{{ m.content }}{{ '!' if loop.last }}]{% endfor %}");
  EXPECT_EQ(chat.render(std::vector<Message>{{"user", "a"}}, true).text, "[a!]");
  EXPECT_USER_ERROR(chat.render(kTwoAnswers, false),
                    "test: the template rewrites earlier turns once later ones follow (message 2, the "
                    "assistant's), so what the assistant "
                    "says cannot be told from the rest. Put {% generation %} and {% endgeneration %} around "
                    "it in the template, or give "
                    "conversations with one answer.");
}

TEST(Chat, ATemplateWhosePromptItsAnswersLackIsRefused) {
  const ChatTemplate chat = chat_of(
      "{% for m in messages %}[{{ m.content }}]{% endfor %}"
      "{% if add_generation_prompt %}<think>{% endif %}");
  EXPECT_USER_ERROR(chat.render(std::vector<Message>{{"user", "a"}, {"assistant", "b"}}, false),
                    "test: the template writes an answer otherwise than it prompts for it (message 2, the "
                    "assistant's), so what the "
                    "assistant says cannot be told from the rest. Put {% generation %} and {% endgeneration "
                    "%} around it in the "
                    "template, or train on a template whose generation prompt its answers start with.");
}

TEST(Chat, BuiltInFormats) {
  const std::vector<Message> pair = {{"user", "Why?"}, {"assistant", "So."}};
  const auto text = [&](const std::string& format) {
    return in_format(format, {{"eos_token", "</s>"}}).render(pair, false).text;
  };
  EXPECT_EQ(text("plain"), "Why?So.</s>");
  EXPECT_EQ(text("question_answer"), "Question: Why?\nAnswer: So.</s>");
  EXPECT_EQ(text("alpaca"),
            "Below is an instruction that describes a task. Write a response that appropriately completes "
            "the request."
            "\n\n### Instruction:\nWhy?\n\n### Response:\nSo.</s>");
  EXPECT_USER_ERROR(chat_format("llama"),
                    "chat: no built-in format 'llama'; it has: plain, alpaca, question_answer");
}

TEST(Chat, BuiltInFormatsPromptWithWhatComesBeforeTheAnswer) {
  for (const ChatFormat& format : chat_formats()) {
    for (const ChatTemplate::SpecialTokens& tokens : {ChatTemplate::SpecialTokens{}, kTokens}) {
      const RenderedChat chat = in_format(format.name, tokens).render(kTwoAnswers, false);
      ASSERT_EQ(chat.assistant.size(), 2u) << format.name;
      EXPECT_EQ(chat.assistant[1].end, chat.text.size()) << format.name;
      EXPECT_THAT(said(chat)[1], testing::HasSubstr("Boil it.")) << format.name;
      EXPECT_FALSE(std::isspace(chat.text[chat.assistant[1].begin - 1]) && format.name == "question_answer");
    }
  }
}

TEST(Chat, WhereAModelFolderKeepsItsTemplate) {
  const std::vector<Message> hi = {{"user", "Hi"}};
  ScratchFolder folder;
  EXPECT_USER_ERROR(ChatTemplate::load(folder.path()),
                    folder.path().string() +
                        ": is not a model folder with a chat template: it has neither "
                        "chat_template.jinja nor tokenizer_config.json");
  const std::string config =
      folder.write("tokenizer_config.json", R"({"eos_token": {"content": "<E>"}})").string();
  EXPECT_USER_ERROR(
      ChatTemplate::load(folder.path()),
      config + ": has no 'chat_template'; for a model that was not trained to chat, `caltrop import " +
          folder.path().string() +
          " --out FOLDER --chat-format FORMAT` writes one, FORMAT being one of: plain, alpaca, "
          "question_answer");
  folder.write("tokenizer_config.json",
               R"({"eos_token": {"content": "<E>"}, "bos_token": "<B>", "pad_token": null, "chat_template": [
                   {"name": "tool_use", "template": "no"},
                   {"name": "default", "template": "{{ bos_token ~ messages[0].content ~ eos_token ~ pad_token }}"}]})");
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(hi, false).text, "<B>Hi<E>");
  folder.write("chat_template.jinja", "{{ eos_token }}");
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(hi, false).text, "<E>");
  folder.write("chat_template.jinja", "{% trans %}");
  EXPECT_THROW(ChatTemplate::load(folder.path()), UserError);
}

TEST(Chat, SpecialTokensMayHaveAFileOfTheirOwn) {
  const ScratchFolder folder;
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ eos_token }}{{ messages[0].content }}"})");
  folder.write("special_tokens_map.json", R"({"bos_token": "<other>", "eos_token": {"content": "</s>"}})");
  const auto text = [&] {
    return ChatTemplate::load(folder.path()).render(std::vector<Message>{{"user", "Hi"}}, true).text;
  };
  EXPECT_EQ(text(), "<s></s>Hi") << "the configuration comes first";
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": "<s>", "added_tokens_decoder": {}, "chat_template": "{{ bos_token }}{{ eos_token }}{{ messages[0].content }}"})");
  EXPECT_EQ(text(), "<s>Hi") << "newer folders have all of it there";
}

TEST(Chat, FilesThatHoldNoObjectAreRefused) {
  const ScratchFolder folder;
  const std::string config = folder.write("tokenizer_config.json", "[1]").string();
  const std::string map = folder.write("special_tokens_map.json", R"({"eos_token": "</s>"})").string();
  EXPECT_USER_ERROR(ChatTemplate::load(folder.path()), config + ": is [1], want an object");
  folder.write("tokenizer_config.json", R"({"chat_template": ""})");
  folder.write("special_tokens_map.json", "\"</s>\"");
  EXPECT_USER_ERROR(ChatTemplate::load(folder.path()), map + ": is \"</s>\", want an object");
}

TEST(Chat, ATemplateListWithoutADefaultIsRefused) {
  ScratchFolder folder;
  const std::string config =
      folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": ""}]})")
          .string();
  EXPECT_USER_ERROR(ChatTemplate::load(folder.path()), config + ": no chat template 'default'; it has: rag");
}

TEST(Chat, LinesInAndOut) {
  const ChatTemplate chat = in_format("question_answer", {});
  std::istringstream in(
      "[{\"role\": \"user\", \"content\": \"é?\"}]\n\n"
      "[{\"role\": \"user\", \"content\": \"é?\"}, {\"role\": \"assistant\", \"content\": \"ü\"}]\n");
  std::ostringstream out;
  render_lines(chat, in, out);
  EXPECT_EQ(out.str(),
            "{\"text\":\"Question: é?\\nAnswer:\",\"assistant\":[]}\n"
            "{\"text\":\"Question: é?\\nAnswer: ü\",\"assistant\":[[21,24]]}\n");
  std::istringstream bad("\n[{\"role\": \"user\"}]\n");
  EXPECT_USER_ERROR(render_lines(chat, bad, out), "line 2: message 1: 'content' is missing");
  std::istringstream not_a_list("{}");
  EXPECT_USER_ERROR(render_lines(chat, not_a_list, out), "line 1: got {}, want a list of messages");
}

}  // namespace
}  // namespace caltrop
