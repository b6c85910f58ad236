// The expected ids are those of the `tokenizers` package 0.23.
#include "caltrop/text/bpe.h"

#include "caltrop/text/span.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

// A model of this vocabulary and these merges, with some options changed.
Bpe model(const std::string& vocab, const std::string& merges, const std::string& options = "{}",
          bool byte_level = false) {
  static Json kept;
  kept = {{"type", "BPE"}, {"vocab", parse_json(vocab, "vocab")}, {"merges", parse_json(merges, "merges")}};
  kept.update(parse_json(options, "options"));
  return Bpe(Component(kept, "x.json", "model", "model"), byte_level);
}

const std::string kVocab = R"({"<unk>": 0, "a": 1, "b": 2, "ab": 3, "<0xC3>": 4, "<0xA9>": 5, "abb": 6})";
const std::string kMerges = R"([["a", "b"]])";

std::vector<int32_t> ids(const Bpe& bpe, std::string_view word) {
  WordCache cache;
  std::vector<Symbol> first, again;
  bpe.encode(word, cache, first);
  bpe.encode(word, cache, again);  // this time from the cache, if it is there
  EXPECT_EQ(first.size(), again.size());
  std::vector<int32_t> out;
  for (size_t i = 0; i < first.size(); ++i) {
    out.push_back(first[i].id);
    EXPECT_EQ(again[i].id, first[i].id);
    EXPECT_EQ(again[i].begin, first[i].begin);
    EXPECT_EQ(again[i].end, first[i].end);
  }
  return out;
}

using Ids = std::vector<int32_t>;

TEST(Bpe, UnknownCharactersBecomeWhatTheOptionsSay) {
  const auto with = [](const std::string& options) { return model(kVocab, kMerges, options); };
  EXPECT_EQ(ids(with("{}"), "abxyab"), (Ids{3, 3}));
  EXPECT_EQ(ids(with("{}"), "xaéb"), Ids{3});  // lost, and its neighbours meet
  EXPECT_EQ(ids(with("{}"), "xyz"), Ids{});

  const Bpe unknown = with(R"({"unk_token": "<unk>"})");
  EXPECT_EQ(ids(unknown, "abxyab"), (Ids{3, 0, 0, 3}));
  EXPECT_EQ(ids(unknown, "xaéb"), (Ids{0, 1, 0, 2}));

  const Bpe fused = with(R"({"unk_token": "<unk>", "fuse_unk": true})");
  EXPECT_EQ(ids(fused, "abxyab"), (Ids{3, 0, 3}));
  EXPECT_EQ(ids(fused, "ééxx€x"), Ids{0});

  const Bpe fallback = with(R"({"unk_token": "<unk>", "byte_fallback": true})");
  EXPECT_EQ(ids(fallback, "xaéb"), (Ids{0, 1, 4, 5, 2}));
  EXPECT_EQ(ids(fallback, "ééxx€x"), (Ids{4, 5, 4, 5, 0, 0, 0, 0}));
}

TEST(Bpe, WholeWordsOnlyWithIgnoreMerges) {
  EXPECT_EQ(ids(model(kVocab, kMerges), "abb"), (Ids{3, 2}));
  EXPECT_EQ(ids(model(kVocab, kMerges, R"({"ignore_merges": true})"), "abb"), Ids{6});
}

TEST(Bpe, ByteLevelTokensAreBytes) {
  const Bpe bpe = model(R"({"Ġ": 0, "Ã": 1, "©": 2, "Ã©": 3, "ĠÃ©": 4})", R"(["Ã ©", "Ġ Ã©"])", "{}", true);
  EXPECT_EQ(ids(bpe, " é"), Ids{4});
  EXPECT_EQ(ids(bpe, "é é"), (Ids{3, 4}));
}

TEST(Bpe, SpansAreExact) {
  WordCache cache;
  std::vector<Symbol> symbols;
  model(kVocab, kMerges, R"({"byte_fallback": true})").encode("abéxb", cache, symbols);
  ASSERT_EQ(symbols.size(), 4u);
  const std::vector<Span> expected = {{0, 2}, {2, 3}, {3, 4}, {5, 6}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(symbols[i].begin, expected[i].begin);
    EXPECT_EQ(symbols[i].end, expected[i].end);
  }
}

TEST(Bpe, LongWordsAreMergedTheSame) {
  const Bpe bpe = model(kVocab, kMerges);
  std::string word;
  Ids expected;
  for (int i = 0; i < 200; ++i) {
    word += i % 3 == 0 ? "b" : "ab";
    expected.push_back(i % 3 == 0 ? 2 : 3);
  }
  EXPECT_EQ(ids(bpe, word), expected);
}

TEST(Bpe, ContradictionsAreNamed) {
  EXPECT_USER_ERROR(model(R"({"a": 0, "b": 0})", "[]"),
                    "x.json: model: the tokens 'a' and 'b' have the same id 0");
  EXPECT_USER_ERROR(model(R"({"a": -1})", "[]"),
                    "x.json: model: the token 'a' has the id -1, want an integer from 0 to 16777215");
  EXPECT_USER_ERROR(model(R"({"a": 4294967296})", "[]"),
                    "x.json: model: the token 'a' has the id 4294967296, want an integer from 0 to 16777215");
  EXPECT_USER_ERROR(
      model(R"({"a": 18446744073709551615})", "[]"),
      "x.json: model: the token 'a' has the id 18446744073709551615, want an integer from 0 to 16777215");
  EXPECT_USER_ERROR(model("[]", "[]"), "x.json: model: 'vocab' is not an object of tokens and ids");
  EXPECT_USER_ERROR(model("{}", "{}"), "x.json: model: 'merges' is not a list");
  EXPECT_USER_ERROR(model(kVocab, R"(["a b", "a c"])"),
                    "x.json: model.merges[1]: the token 'ac' is not in the vocabulary");
  EXPECT_USER_ERROR(model(R"({"a": 0, "ab": 1})", R"(["a b"])"),
                    "x.json: model.merges[0]: the token 'b' is not in the vocabulary");
  EXPECT_USER_ERROR(model(kVocab, R"(["a b", ["a", "b"]])"),
                    "x.json: model.merges[1]: 'a' and 'b' are merged a second time");
  EXPECT_USER_ERROR(
      model(kVocab, R"(["a b b"])"),
      "x.json: model.merges[0]: \"a b b\" is no merge; want \"left right\" or [\"left\", \"right\"]");
  EXPECT_USER_ERROR(model(kVocab, "[7]"),
                    "x.json: model.merges[0]: 7 is no merge; want \"left right\" or [\"left\", \"right\"]");
  EXPECT_USER_ERROR(model(kVocab, kMerges, R"({"unk_token": "?"})"),
                    "x.json: model.unk_token: the token '?' is not in the vocabulary");
}

TEST(Bpe, OptionsThatWeCannotHonourAreRefused) {
  EXPECT_USER_ERROR(model(kVocab, kMerges, R"({"type": "Unigram"})"),
                    "x.json: model: Caltrop knows no model of type 'Unigram'; it knows: BPE");
  EXPECT_USER_ERROR(
      model(kVocab, kMerges, R"({"dropout": 0.1})"),
      "x.json: model: dropout would make the tokens of a text random, which Caltrop does not support");
  EXPECT_USER_ERROR(model(kVocab, kMerges, R"({"end_of_word_suffix": "</w>"})"),
                    "x.json: model: Caltrop does not support the option 'end_of_word_suffix'");
  EXPECT_USER_ERROR(
      model(kVocab, kMerges, R"({"byte_fallback": true})", true),
      "x.json: model: byte_fallback with ByteLevel, and a vocabulary that lacks bytes, is not supported "
      "by Caltrop");
  EXPECT_USER_ERROR(
      model(kVocab, kMerges, R"({"cache": 1})"),
      "x.json: model: Caltrop knows no option 'cache' here; it knows: dropout, unk_token, "
      "continuing_subword_prefix, end_of_word_suffix, fuse_unk, byte_fallback, ignore_merges, vocab, "
      "merges");
  EXPECT_NO_THROW(model(kVocab, kMerges, R"({"dropout": null, "end_of_word_suffix": "", "unk_token": ""})"));
}

TEST(WordCache, KeepsOnlyWordsThatFit) {
  WordCache cache;
  std::vector<Symbol> out;
  const auto remember = [&](std::string_view word, std::vector<Symbol> tokens) {
    cache.insert(word, WordCache::hash_of(word), tokens.data(), tokens.size());
    out.clear();
    return cache.find(word, WordCache::hash_of(word), out);
  };
  EXPECT_TRUE(remember("abc", {{7, 0, 1}, {8, 1, 3}}));
  EXPECT_EQ(out[1].id, 8);
  EXPECT_EQ(out[1].begin, 1u);
  EXPECT_FALSE(remember("abd", {{7, 0, 1}, {8, 2, 3}}));       // a byte was lost
  EXPECT_FALSE(remember(std::string(25, 'x'), {{7, 0, 25}}));  // too long
  EXPECT_FALSE(
      remember("abcdefg", {{1, 0, 1}, {1, 1, 2}, {1, 2, 3}, {1, 3, 4}, {1, 4, 5}, {1, 5, 6}, {1, 6, 7}}));
}

}  // namespace
}  // namespace caltrop
