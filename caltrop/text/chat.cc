#include "caltrop/text/chat.h"

#include <algorithm>
#include <istream>
#include <ostream>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/folders.h"
#include "caltrop/text/jinja.h"
#include "caltrop/text/python_text.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// A file that holds an object.
Json read_object(const fs::path& path) {
  Json json = read_json(path);
  if (!json.is_object()) throw UserError("{}: is {}, want an object", path.string(), to_line(json));
  return json;
}

/// The default one of the templates that tokenizer_config.json has; empty if there are none.
std::string default_template(const Json& config, const std::string& where) {
  const Json templates = optional<Json>(config, "chat_template", where, nullptr);
  if (templates.is_null()) return "";
  if (templates.is_string()) return templates.get<std::string>();
  if (!templates.is_array())
    throw UserError("{}: 'chat_template' is {}, want a string or a list", where, to_line(templates));
  std::vector<std::string> names;
  for (const Json& one : templates) {
    names.push_back(required<std::string>(one, "name", where + ": chat_template"));
    if (names.back() == "default") return required<std::string>(one, "template", where + ": chat_template");
  }
  throw unknown_name(where, "chat template", "default", names);
}

ChatTemplate::SpecialTokens special_tokens_of(const Json& config, const std::string& where) {
  ChatTemplate::SpecialTokens tokens;
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    const Json token = optional<Json>(config, key, where, nullptr);
    if (token.is_null()) continue;
    tokens[key] = token.is_string()
                      ? token.get<std::string>()
                      : required<std::string>(token, "content", fmt::format("{}: {}", where, key));
  }
  return tokens;
}

/// The bytes of `turn` that are said: white space after the mark that ends it is not.
size_t said_length(std::string_view turn, std::string_view content) {
  const size_t marked = strip(turn, Ends::kRight).size();
  const std::string_view said = strip(content, Ends::kBoth);
  const bool has_mark = marked > 0 && (said.empty() || !turn.substr(0, marked).ends_with(said));
  return has_mark ? marked : turn.size();
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const ChatFormat& format : chat_formats()) names.push_back(format.name);
  return names;
}

}  // namespace

struct ChatTemplate::Parts {
  JinjaTemplate jinja;
  std::string name;
  SpecialTokens special_tokens;

  JinjaOutput run(std::span<const Message> messages, bool add_generation_prompt) const {
    Json turns = Json::array();
    for (const Message& message : messages)
      turns.push_back({{"role", message.role}, {"content", message.content}});
    // transformers passes tools and documents too, and templates test them against none.
    Json variables = {{"messages", std::move(turns)},
                      {"tools", nullptr},
                      {"documents", nullptr},
                      {"add_generation_prompt", add_generation_prompt}};
    for (const auto& [key, token] : special_tokens) variables[key] = token;
    return jinja.render(variables);
  }
};

ChatTemplate ChatTemplate::load(const fs::path& folder) {
  const fs::path config_file = folder / "tokenizer_config.json",
                 template_file = folder / "chat_template.jinja";
  const std::string where = config_file.string();
  const bool has_file = may_exist(template_file), has_config = may_exist(config_file);
  if (!has_file && !has_config) {
    throw UserError(
        "{}: is not a model folder with a chat template: it has neither chat_template.jinja nor "
        "tokenizer_config.json",
        folder.string());
  }
  Json config = has_config ? read_object(config_file) : Json::object();
  // As transformers does it: older folders keep their special tokens in a file of their own.
  const fs::path map_file = folder / "special_tokens_map.json";
  if (!config.contains("added_tokens_decoder") && may_exist(map_file)) {
    const Json map = read_object(map_file);
    for (const auto& [key, value] : map.items()) {
      if (!config.contains(key)) config[key] = value;
    }
  }
  const SpecialTokens tokens = special_tokens_of(config, where);
  if (has_file) return from_source(read_file(template_file), tokens, template_file.string());
  const std::string source = default_template(config, where);
  if (source.empty()) {
    throw UserError(
        "{}: has no 'chat_template'; for a model that was not trained to chat, "
        "`caltrop import {} --out FOLDER --chat-format FORMAT` writes one, FORMAT being one of: {}",
        where, folder.string(), join(format_names()));
  }
  return from_source(source, tokens, where + ": chat_template");
}

ChatTemplate ChatTemplate::from_source(const std::string& source, const SpecialTokens& special_tokens,
                                       const std::string& name) {
  return ChatTemplate(
      std::make_shared<const Parts>(Parts{JinjaTemplate(source, name), name, special_tokens}));
}

std::string ChatTemplate::text_of(std::span<const Message> messages, bool add_generation_prompt) const {
  return parts_->run(messages, add_generation_prompt).text;
}

RenderedChat ChatTemplate::render(std::span<const Message> messages, bool add_generation_prompt) const {
  JinjaOutput whole = parts_->run(messages, add_generation_prompt);
  if (parts_->jinja.marks_generation()) return {std::move(whole.text), std::move(whole.generation)};
  RenderedChat chat{std::move(whole.text), {}};
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "assistant") chat.assistant.push_back(said_in(messages.first(i + 1), chat.text));
  }
  return chat;
}

/// Where `whole` has the last turn of `until_turn`.
Span ChatTemplate::said_in(std::span<const Message> until_turn, const std::string& whole) const {
  const std::string before = text_of(until_turn.first(until_turn.size() - 1), /*add_generation_prompt=*/true);
  const std::string through = text_of(until_turn, /*add_generation_prompt=*/false);
  const auto fail = [&](const char* what) {
    throw UserError(
        "{}: {} (message {}, the assistant's), so what the assistant says cannot be told from the rest. Put "
        "{{% generation %}} and {{% endgeneration %}} around it in the template, or {}.",
        parts_->name, what, until_turn.size(),
        whole.starts_with(through) ? "train on a template whose generation prompt its answers start with"
                                   : "give conversations with one answer");
  };
  if (!whole.starts_with(through)) fail("the template rewrites earlier turns once later ones follow");
  if (!through.starts_with(before)) fail("the template writes an answer otherwise than it prompts for it");
  const std::string_view turn = std::string_view(through).substr(before.size());
  return {before.size(), before.size() + said_length(turn, until_turn.back().content)};
}

// Each turn starts with what separates it from the one before, so that an answer ends with its last byte. The end token
// is written if the tokenizer has one. No format prompts with a space at the end: the tokens of most vocabularies start
// with the space before a word.
const std::vector<ChatFormat>& chat_formats() {
  static const std::vector<ChatFormat> kFormats = {
      {"plain", "{prompt}{response}",
       "{% for message in messages %}{{ message.content }}"
       "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"},
      {"alpaca", "Stanford Alpaca's \"### Instruction: … ### Response: …\"",
       "{% for message in messages %}{% if not loop.first %}{{ '\\n\\n' }}{% endif %}"
       "{% if message.role == 'user' %}"
       "{{ 'Below is an instruction that describes a task. Write a response that appropriately completes the "
       "request."
       "\\n\\n### Instruction:\\n' ~ message.content }}"
       "{% elif message.role == 'assistant' %}{{ '### Response:\\n' ~ message.content ~ eos_token }}"
       "{% else %}{{ message.content }}{% endif %}{% endfor %}"
       "{% if add_generation_prompt %}{{ '\\n\\n### Response:\\n' }}{% endif %}"},
      {"question_answer", "\"Question: {prompt}\\nAnswer: {response}\"",
       "{% for message in messages %}"
       "{% if message.role == 'user' %}{{ '\\n\\n' if not loop.first }}{{ 'Question: ' ~ message.content }}"
       "{% elif message.role == 'assistant' %}{{ '\\nAnswer: ' ~ message.content ~ eos_token }}"
       "{% else %}{{ message.content }}{% endif %}{% endfor %}"
       "{% if add_generation_prompt %}{{ '\\nAnswer:' }}{% endif %}"},
  };
  return kFormats;
}

const ChatFormat& chat_format(const std::string& name) {
  for (const ChatFormat& format : chat_formats()) {
    if (format.name == name) return format;
  }
  throw unknown_name("chat", "built-in format", name, format_names());
}

std::vector<Message> messages_from_json(const Json& array, const std::string& where) {
  if (!array.is_array()) throw UserError("{}: got {}, want a list of messages", where, to_line(array));
  std::vector<Message> messages;
  for (const Json& one : array) {
    const std::string place = fmt::format("{}: message {}", where, messages.size() + 1);
    messages.push_back(
        {required<std::string>(one, "role", place), required<std::string>(one, "content", place)});
  }
  return messages;
}

void render_lines(const ChatTemplate& chat, std::istream& in, std::ostream& out) {
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    if (strip(line, Ends::kBoth).empty()) continue;
    const std::vector<Message> messages =
        messages_from_json(parse_json(line, "standard input", number), fmt::format("line {}", number));
    const bool is_prompt = messages.empty() || messages.back().role != "assistant";
    const RenderedChat rendered = chat.render(messages, /*add_generation_prompt=*/is_prompt);
    Json spans = Json::array();
    for (const Span& span : rendered.assistant) spans.push_back(Json::array({span.begin, span.end}));
    out << to_line({{"text", rendered.text}, {"assistant", std::move(spans)}}) << '\n';
  }
}

}  // namespace caltrop
