#include "caltrop/text/regex.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

std::vector<std::string> matches(const std::string& pattern, std::string_view text) {
  const Regex regex(pattern, "here");
  std::vector<std::string> found;
  size_t from = 0;
  while (const auto match = regex.find(text, from)) {
    found.emplace_back(text.substr(match->begin, match->size()));
    from = match->end;
  }
  return found;
}

using Words = std::vector<std::string>;

TEST(Regex, SplitsAsTheExpressionsOfRealTokenizersMean) {
  EXPECT_EQ(matches(R"((?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+)", "It'S 12345   x"),
            (Words{"It", "'S", " ", "123", "45", "  ", " x"}));
}

TEST(Regex, WhiteSpaceIsThatOfUnicode) {
  EXPECT_EQ(matches(R"(\s)", "\u0085\u00A0\u2003\u3000\t\u180E\u200B\u001C"),
            (Words{"\u0085", "\u00A0", "\u2003", "\u3000", "\t"}));
  EXPECT_EQ(matches(R"([^\s]+)", "a\u180Eb c"), (Words{"a\u180Eb", "c"}));
  EXPECT_EQ(matches(R"(\S+)", "a\u180Eb c"), (Words{"a\u180Eb", "c"}));
}

TEST(Regex, RepetitionsMayLackTheirLeast) {
  EXPECT_EQ(matches("xa{,2}", "x xa xaaa"), (Words{"x", "xa", "xaa"}));
  EXPECT_EQ(matches("(?:a{,12}b)", "aab"), Words{"aab"});
  EXPECT_EQ(matches(R"(a\{,2})", "a{,2}"), Words{"a{,2}"}) << "an escaped brace is a brace";
  EXPECT_EQ(matches("[{,2}]+", "x{,2}"), Words{"{,2}"}) << "as it is in a class";
  EXPECT_EQ(matches("a{,}", "aa{,}"), Words{"a{,}"}) << "without a number it is text";
}

TEST(Regex, LooksBackBeyondWhereItStarts) {
  const Regex regex("(?<=a)b", "here");
  EXPECT_EQ(regex.find("ab", 1), (Span{1, 2}));
}

TEST(Regex, LiteralTextIsLiteral) {
  EXPECT_EQ(Regex::literally("[a+b]*\\d", "here").find("xx[a+b]*\\d", 0), (Span{2, 10}));
}

TEST(Regex, WhatMeansSomethingElseInOnigurumaIsRefused) {
  const auto refuses = [](const std::string& pattern, const std::string& part, size_t offset) {
    EXPECT_USER_ERROR(
        Regex(pattern, "x.json: pre_tokenizer"),
        fmt::format("x.json: pre_tokenizer: the expression has '{}' at offset {}, which Caltrop does "
                    "not support",
                    part, offset));
  };
  refuses(R"(a\w+)", R"(\w)", 1);
  refuses(R"(\bthe)", R"(\b)", 0);
  refuses(R"([\h])", R"(\h)", 1);
  refuses("[[:alpha:]]", "[:", 1);
  refuses("[a[bc]]", "[", 2);
  refuses("[a-z&&[^b]]", "&&", 4);
  refuses("(?m)^a.", "(?m", 0);
  refuses("(?<name>a)", "(?<", 0);
  refuses("(*UTF)a", "(*", 0);
  refuses("x{2,3}+", "}+", 5);
  refuses("a\\", "\\", 1);
}

TEST(Regex, SyntaxErrorsHavePlaces) {
  EXPECT_USER_ERROR(
      Regex("a(b", "x.json: pre_tokenizer"),
      "x.json: pre_tokenizer: not a regular expression: missing closing parenthesis, at offset 3 of a(b");
}

TEST(Regex, EndlessBacktrackingIsAnErrorNotAHang) {
  const Regex regex("(?:a|a)*[bd]", "x.json: pre_tokenizer");
  EXPECT_USER_ERROR(
      regex.find(std::string(60, 'a'), 0),
      "x.json: pre_tokenizer: the expression gave up on a text, looking from byte 0: match limit exceeded");
}

}  // namespace
}  // namespace caltrop
