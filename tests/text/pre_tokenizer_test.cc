// The expected words are those of the `tokenizers` package 0.23.
#include "caltrop/text/pre_tokenizer.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

PreTokenizer pre_tokenizer(const std::string& json) {
  static Json kept;
  kept = parse_json(json, "x.json");
  return PreTokenizer(Component(kept, "x.json", "pre-tokenizer", "pre_tokenizer"));
}

using Words = std::vector<std::string>;

Words words(const std::string& json, std::string_view input) {
  AlignedText text(input, 0);
  std::vector<Span> spans;
  pre_tokenizer(json).split(text, spans);
  Words out;
  for (const Span span : spans) out.emplace_back(text.view().substr(span.begin, span.size()));
  return out;
}

std::string split(const std::string& pattern, const std::string& behavior, bool invert) {
  return fmt::format(R"({{"type": "Split", "pattern": {}, "behavior": "{}", "invert": {}}})", pattern,
                     behavior, invert);
}

TEST(PreTokenizer, SplitTreatsMatchesAsItsBehaviorSays) {
  const auto both = [](const std::string& behavior, const Words& plain, const Words& inverted) {
    const std::string text = "the-final--countdown-";
    EXPECT_EQ(words(split(R"({"String": "-"})", behavior, false), text), plain) << behavior;
    EXPECT_EQ(words(split(R"({"Regex": "-"})", behavior, false), text), plain) << behavior;
    EXPECT_EQ(words(split(R"({"String": "-"})", behavior, true), text), inverted) << behavior;
  };
  const Words all = {"the", "-", "final", "-", "-", "countdown", "-"};
  both("Isolated", all, all);
  both("Removed", {"the", "final", "countdown"}, {"-", "-", "-", "-"});
  both("MergedWithPrevious", {"the-", "final-", "-", "countdown-"},
       {"the", "-final", "-", "-countdown", "-"});
  both("MergedWithNext", {"the", "-final", "-", "-countdown", "-"}, {"the-", "final-", "-", "countdown-"});
  both("Contiguous", {"the", "-", "final", "--", "countdown", "-"},
       {"the", "-", "final", "--", "countdown", "-"});
}

TEST(PreTokenizer, ExpressionsThatMatchNothingSplitEverywhere) {
  EXPECT_EQ(words(split(R"({"Regex": "x*"})", "Isolated", false), "abxxc"), (Words{"a", "b", "xx", "c"}));
  EXPECT_EQ(words(split(R"({"Regex": "x*"})", "Isolated", false), "é日"), (Words{"é", "日"}));
}

TEST(PreTokenizer, DigitsAreNumbersOfAllScripts) {
  EXPECT_EQ(words(R"({"type": "Digits", "individual_digits": false})", "a12b٣½ 4"),
            (Words{"a", "12", "b", "٣½", " ", "4"}));
  EXPECT_EQ(words(R"({"type": "Digits", "individual_digits": true})", "a12b٣½ 4"),
            (Words{"a", "1", "2", "b", "٣", "½", " ", "4"}));
}

TEST(PreTokenizer, SmolLM2SplitsDigitsThenWords) {
  const std::string json = R"({"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]})";
  EXPECT_TRUE(pre_tokenizer(json).byte_level());
  EXPECT_EQ(words(json, "it's 12:30,  ok\n\n"),
            (Words{"it", "'s", " ", "1", "2", ":", "3", "0", ",", " ", " ok", "\n\n"}));
  EXPECT_EQ(words(json, ""), Words{});
}

TEST(PreTokenizer, PrefixSpacesComeFromNoByte) {
  const std::string json = R"({"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": true}]})";
  EXPECT_EQ(words(json, "it's 2 x"), (Words{" it", "'s", " ", " 2", " x"}));
  AlignedText text("it2", 10);
  std::vector<Span> spans;
  pre_tokenizer(json).split(text, spans);
  ASSERT_EQ(text.view(), " it 2");
  EXPECT_EQ(text.origin({0, 1}), (Span{10, 10}));
  EXPECT_EQ(text.origin({0, 3}), (Span{10, 12}));
  EXPECT_EQ(text.origin({3, 5}), (Span{12, 13}));
}

TEST(PreTokenizer, WhatIsNotKnownIsNamedWithItsPlace) {
  EXPECT_USER_ERROR(
      pre_tokenizer(R"({"type": "Sequence", "pretokenizers": [{"type": "Metaspace"}]})"),
      "x.json: pre_tokenizer.pretokenizers[0]: Caltrop knows no pre-tokenizer of type 'Metaspace'; it "
      "knows: Split, Digits, ByteLevel, Sequence");
  EXPECT_USER_ERROR(pre_tokenizer(R"({"type": "Sequence", "pretokenizers": {}})"),
                    "x.json: pre_tokenizer: 'pretokenizers' is not a list");
  EXPECT_USER_ERROR(
      pre_tokenizer(R"({"type": "Digits", "individual_digits": true, "scripts": []})"),
      "x.json: pre_tokenizer: Caltrop knows no option 'scripts' here; it knows: individual_digits");
  EXPECT_USER_ERROR(
      pre_tokenizer(split(R"({"Glob": "*"})", "Isolated", false)),
      "x.json: pre_tokenizer: Caltrop knows no pattern of type 'Glob'; it knows: Regex, String");
  EXPECT_USER_ERROR(pre_tokenizer(split(R"("-")", "Isolated", false)),
                    "x.json: pre_tokenizer: 'pattern' is \"-\", want {\"Regex\": …} or {\"String\": …}");
  EXPECT_USER_ERROR(
      pre_tokenizer(split(R"({"String": "-"})", "Merged", false)),
      "x.json: pre_tokenizer: Caltrop knows no behavior 'Merged'; it knows: Contiguous, Isolated, "
      "MergedWithNext, MergedWithPrevious, Removed");
  EXPECT_USER_ERROR(
      pre_tokenizer(R"({"type": "Sequence", "pretokenizers": [
                        {"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits", "individual_digits": true}]})"),
      "x.json: pre_tokenizer.pretokenizers[1]: a pre-tokenizer after ByteLevel would see bytes instead "
      "of text, which Caltrop does not support");
}

}  // namespace
}  // namespace caltrop
