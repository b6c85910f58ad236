#include "caltrop/data/collate.h"

#include <algorithm>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

std::string named(const Example& example) {
  return example.id.empty() ? "an example" : "example " + example.id;
}

/// The turns before the answer.
std::vector<Message> turns_before_answer(const Example& example) {
  std::vector<Message> messages = example.messages;
  if (!messages.empty() && messages.back().role == "assistant") messages.pop_back();
  return messages;
}

}  // namespace

ChatEncoder ChatEncoder::load(const std::filesystem::path& folder) {
  const std::filesystem::path config = folder / "config.json";  // a tokenizer alone has none
  if (!std::filesystem::exists(config)) return {Tokenizer::load(folder), ChatTemplate::load(folder)};
  return {Tokenizer::load(folder), ChatTemplate::load(folder),
          required<int64_t>(read_json(config), "vocab_size", config.string())};
}

ChatEncoder::ChatEncoder(Tokenizer tokenizer, ChatTemplate chat, int64_t vocabulary)
    : tokenizer_(std::move(tokenizer)), chat_(std::move(chat)), vocabulary_(vocabulary) {}

TokenRow ChatEncoder::encode_text(const std::string& text, const std::vector<Span>& said,
                                  bool add_special_tokens, const std::string& who) const {
  const Encoding encoding = tokenizer_.encode(text, add_special_tokens);
  tokenizer_.check_ids(encoding.ids, vocabulary_, who);
  TokenRow row;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const Span& span = encoding.spans[i];
    // A token that straddles the border of an answer holds text that the assistant did not say: it has no
    // loss.
    const bool answer = span.size() > 0 && std::any_of(said.begin(), said.end(), [&](const Span& s) {
                          return s.begin <= span.begin && span.end <= s.end;
                        });
    row.ids.push_back(encoding.ids[i]);
    row.answer.push_back(answer);
  }
  return row;
}

TokenRow ChatEncoder::encode(const Example& example, int64_t longest) const {
  if (!example.has_response()) throw UserError("{}: it has no answer, want a 'response'", named(example));
  const RenderedChat chat = chat_.render(example.messages, /*add_generation_prompt=*/false);
  if (chat.assistant.empty())
    throw UserError("{}: the chat template marks nothing in it as said by the assistant", named(example));
  TokenRow row =
      encode_text(chat.text, {chat.assistant.back()}, /*add_special_tokens=*/false, named(example));
  const auto first = std::find(row.answer.begin(), row.answer.end(), true) - row.answer.begin();
  if (first == static_cast<int64_t>(row.ids.size()))
    throw UserError("{}: its answer has no tokens", named(example));
  if (first >= longest) {
    throw UserError(
        "{}: the prompt has {} tokens and leaves no room for an answer in rows of {}; raise 'longest'",
        named(example), first, longest);
  }
  // Nothing after the answer has a loss, so nothing after it is worth computing.
  auto last = static_cast<int64_t>(row.answer.size());
  while (!row.answer[static_cast<size_t>(last - 1)]) --last;
  last = std::min(last, longest);
  row.ids.resize(static_cast<size_t>(last));
  row.answer.resize(static_cast<size_t>(last));
  return row;
}

TokenRow ChatEncoder::encode_prompt(const Example& example, int64_t longest) const {
  const RenderedChat chat = chat_.render(turns_before_answer(example), /*add_generation_prompt=*/true);
  TokenRow row = encode_text(chat.text, {}, /*add_special_tokens=*/false, named(example));
  if (static_cast<int64_t>(row.ids.size()) > longest) {
    throw UserError("{}: the prompt has {} tokens, and there is room for {}", named(example), row.ids.size(),
                    longest);
  }
  if (row.ids.empty()) throw UserError("{}: the prompt has no tokens", named(example));
  row.prompt = example.prompt();
  return row;
}

TokenRow ChatEncoder::encode_continuation(const std::string& prompt, const std::string& continuation,
                                          bool chat) const {
  const std::string before = chat ? chat_.render(std::vector<Message>{{"user", prompt}}, true).text : prompt;
  TokenRow row = encode_text(before + continuation, {{before.size(), before.size() + continuation.size()}},
                             !chat, fmt::format("'{}'", prompt));
  // The first token of a row follows nothing, so it cannot be scored.
  if (row.answer.empty() || std::find(row.answer.begin() + 1, row.answer.end(), true) == row.answer.end() ||
      row.answer.front())
    throw UserError(
        "'{}' after '{}' cannot be scored: it has no token of its own, or one that nothing stands before",
        continuation, prompt);
  return row;
}

}  // namespace caltrop
