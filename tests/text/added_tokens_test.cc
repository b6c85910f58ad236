// The expected pieces are those of the `tokenizers` package 0.23.
#include "caltrop/text/added_tokens.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

AddedToken token(int64_t id, const std::string& content) {
  return {.id = id,
          .content = content,
          .single_word = false,
          .lstrip = false,
          .rstrip = false,
          .normalized = false,
          .special = false,
          .pattern = content};
}

// "a", "<a>=15", …: the pieces of a text, those that are tokens with their id.
std::vector<std::string> pieces(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::vector<std::string> out;
  for (const auto& piece : AddedTokenMatcher(tokens).cut(text)) {
    out.emplace_back(text.substr(piece.span.begin, piece.span.size()));
    if (piece.id) out.back() += fmt::format("={}", *piece.id);
  }
  return out;
}

using Pieces = std::vector<std::string>;

TEST(AddedTokens, TheLongestOfTheLeftmostIsTaken) {
  const std::vector<AddedToken> tokens = {token(1, "<a>"), token(2, "<a><b>"), token(3, "<b><c>"),
                                          token(4, "  ")};
  EXPECT_EQ(pieces(tokens, "x<a><b><c>"), (Pieces{"x", "<a><b>=2", "<c>"}));
  EXPECT_EQ(pieces(tokens, "<a><b"), (Pieces{"<a>=1", "<b"}));
  EXPECT_EQ(pieces(tokens, "<<a>   y"), (Pieces{"<", "<a>=1", "  =4", " y"}));
  EXPECT_EQ(pieces(tokens, ""), Pieces{});
  EXPECT_EQ(pieces({}, "<a>"), Pieces{"<a>"});
}

TEST(AddedTokens, SingleWordsStandAlone) {
  std::vector<AddedToken> tokens = {token(1, "<a>"), token(2, "<a><b>")};
  tokens[0].single_word = true;
  EXPECT_EQ(pieces(tokens, "a<a>b"), Pieces{"a<a>b"});
  EXPECT_EQ(pieces(tokens, "é<a> <a>_"), Pieces{"é<a> <a>_"});
  EXPECT_EQ(pieces(tokens, "<a>-1<a>"), (Pieces{"<a>=1", "-1<a>"}));
  EXPECT_EQ(pieces(tokens, "a <a> \n<a><b>b"), (Pieces{"a ", "<a>=1", " \n", "<a><b>=2", "b"}));
}

TEST(AddedTokens, StripTakesTheWhiteSpace) {
  std::vector<AddedToken> left = {token(1, "<a>"), token(2, "  ")};
  left[0].lstrip = true;
  EXPECT_EQ(pieces(left, "a\u3000\n<a> b"), (Pieces{"a", "\u3000\n<a>=1", " b"}));
  EXPECT_EQ(pieces(left, "<a>   <a>"), (Pieces{"<a>=1", "  =2", " <a>=1"}));

  std::vector<AddedToken> right = {token(1, "<a>"), token(2, "  ")};
  right[0].rstrip = true;
  EXPECT_EQ(pieces(right, " <a>\u00A0\tb"), (Pieces{" ", "<a>\u00A0\t=1", "b"}));
  // As in the reference, a token of the spaces that were taken is there, too, and the text goes on after it.
  EXPECT_EQ(pieces(right, "<a>   <a>"), (Pieces{"<a>   =1", "  =2", " ", "<a>=1"}));
}

TEST(AddedTokens, ListsAreChecked) {
  const auto read = [](const char* json) {
    read_added_tokens(parse_json(json, "x"), "x.json", Normalizer());
  };
  EXPECT_USER_ERROR(read("{}"), "x.json: added_tokens is object, want a list");
  EXPECT_USER_ERROR(read(R"([{"id": 0, "content": ""}])"),
                    "x.json: added_tokens[0]: 'single_word' is missing");
  EXPECT_USER_ERROR(read(R"([{"id": 0, "content": "", "single_word": false, "lstrip": false, "rstrip": false,
                              "normalized": false, "special": true}])"),
                    "x.json: added_tokens[0]: the token is empty");
  EXPECT_USER_ERROR(read(R"([{"id": 0, "content": "a", "regex": true}])"),
                    "x.json: added_tokens[0]: Caltrop knows no option 'regex' here; it knows: id, content, "
                    "single_word, lstrip, rstrip, normalized, special");
}

}  // namespace
}  // namespace caltrop
