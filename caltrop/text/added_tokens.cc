#include "caltrop/text/added_tokens.h"

#include <algorithm>

#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

// Unicode White_Space, complete: the property is stable.
bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

size_t white_space_before(std::string_view text, size_t at) {
  while (at > 0) {
    const size_t before = previous_utf8(text, at);
    if (!is_white_space(decode_utf8(text, before))) break;
    at = before;
  }
  return at;
}

size_t white_space_after(std::string_view text, size_t at) {
  while (at < text.size() && is_white_space(decode_utf8(text, at))) at += utf8_length(text[at]);
  return at;
}

// What `\w` means to the reference (Unicode Technical Standard 18, Annex C).
bool is_word_character(std::string_view text, size_t at) {
  static const Regex word("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]", "added tokens");
  return word.find(text.substr(at, utf8_length(text[at])), 0).has_value();
}

bool stands_alone(std::string_view text, Span span) {
  return (span.begin == 0 || !is_word_character(text, previous_utf8(text, span.begin))) &&
         (span.end == text.size() || !is_word_character(text, span.end));
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const Json& list, const std::string& source,
                                          const Normalizer& normalizer) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) throw UserError("{}: added_tokens is {}, want a list", source, list.type_name());
  for (size_t i = 0; i < list.size(); ++i) {
    const Component entry(list[i], source, "added token", fmt::format("added_tokens[{}]", i));
    entry.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token{.id = required<int64_t>(entry.json(), "id", entry.where()),
                     .content = entry.text("content"),
                     .single_word = entry.flag("single_word"),
                     .lstrip = entry.flag("lstrip"),
                     .rstrip = entry.flag("rstrip"),
                     .normalized = entry.flag("normalized"),
                     .special = entry.flag("special"),
                     .pattern = ""};
    token.pattern = token.content;
    if (token.normalized) token.pattern = normalizer.apply(AlignedText(token.content, 0)).view();
    if (token.pattern.empty()) throw UserError("{}: the token is empty", entry.where());
    tokens.push_back(std::move(token));
  }
  return tokens;
}

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.pattern < b.pattern; });
  for (const AddedToken& token : tokens_) is_first_byte_[static_cast<unsigned char>(token.pattern[0])] = true;
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view text, size_t at) const {
  // Narrows the tokens, byte by byte, to those that agree with the text so far. In their order, one that ends
  // here comes before those that go on.
  auto low = tokens_.begin();
  auto high = tokens_.end();
  const AddedToken* longest = nullptr;
  for (size_t depth = 0; low != high && at + depth < text.size(); ++depth) {
    const auto byte = [&](const AddedToken& token) {
      return static_cast<unsigned char>(token.pattern[depth]);
    };
    const auto wanted = static_cast<unsigned char>(text[at + depth]);
    low = std::partition_point(low, high, [&](const AddedToken& token) { return byte(token) < wanted; });
    high = std::partition_point(low, high, [&](const AddedToken& token) { return byte(token) == wanted; });
    if (low != high && low->pattern.size() == depth + 1) longest = &*low++;
  }
  return longest;
}

std::vector<AddedTokenMatcher::Piece> AddedTokenMatcher::cut(std::string_view text) const {
  std::vector<Piece> pieces;
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !tokens_.empty();) {
    const AddedToken* const token =
        is_first_byte_[static_cast<unsigned char>(text[at])] ? longest_at(text, at) : nullptr;
    if (token == nullptr) {
      ++at;
      continue;
    }
    Span span{at, at + token->pattern.size()};
    at = span.end;
    if (token->single_word && !stands_alone(text, span)) continue;
    if (token->lstrip) span.begin = std::max(white_space_before(text, span.begin), done);
    if (token->rstrip) span.end = white_space_after(text, span.end);
    if (done < span.begin) pieces.push_back({{done, span.begin}, std::nullopt});
    pieces.push_back({span, token->id});
    done = span.end;
  }
  if (done < text.size()) pieces.push_back({{done, text.size()}, std::nullopt});
  return pieces;
}

}  // namespace caltrop
