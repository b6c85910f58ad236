// The whole way, with the tokenizer in tests/data/tiny-model. The expected ids are those of the `tokenizers` package
// 0.23; tools/compare_tokenizers.py compares many more, on real tokenizers.
#include "caltrop/text/tokenizer.h"

#include <thread>

#include "caltrop/base/files.h"
#include "caltrop/base/random.h"
#include "caltrop/text/utf8.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using Ids = std::vector<int64_t>;

const Tokenizer& tiny() {
  static const Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));
  return tokenizer;
}

Json tiny_json() { return read_json(test::data_file("tiny-model/tokenizer.json")); }
Tokenizer changed(const Json& patch) {
  Json json = tiny_json();
  json.merge_patch(patch);
  return Tokenizer::from_json(json, "x.json");
}

Ids encode(const Tokenizer& tokenizer, std::string_view text) { return tokenizer.encode(text, false).ids; }

// Text that goes to all corners of the tokenizer.
std::string random_text(RandomStream& random) {
  static const std::vector<std::string> parts = {
      "the ", "water", "12",     "\n\n",  "<|im_end|>",         "é",     "日", "😀", "\u0301",
      "'s",   " ",     "\u00A0", "Don't", std::string(1, '\0'), "<|im_", "_",  "İ"};
  std::string text;
  for (uint64_t i = random.below(25); i > 0; --i) text += parts[random.below(parts.size())];
  return text;
}

TEST(Tokenizer, EncodesAsTheReference) {
  EXPECT_EQ(encode(tiny(), "The cook washed 12 potatoes, didn't she?"),
            (Ids{292, 487, 354, 450, 223, 19, 20, 364, 464, 14, 278, 75, 70, 80, 376, 267, 260, 33}));
  EXPECT_EQ(encode(tiny(), "<|im_start|>user\nHi!<|im_end|>\n"), (Ids{1, 427, 201, 42, 75, 3, 2, 201}));
  EXPECT_EQ(encode(tiny(), "naïve 😀 日本"),
            (Ids{80, 67, 130, 110, 318, 223, 175, 256, 249, 225, 223, 165, 248, 101, 165, 253, 108}));
  EXPECT_EQ(encode(tiny(), "  \n\n x"), (Ids{223, 223, 201, 201, 223, 90}));
  EXPECT_EQ(encode(tiny(), ""), Ids{});
}

TEST(Tokenizer, IdsWithoutAnEmbeddingAreNamed) {
  const Ids ids = {3, 261, 2};
  tiny().check_ids(ids, 262, "row 7");
  EXPECT_USER_ERROR(
      tiny().check_ids(ids, 261, "row 7"),
      "row 7: the token 'Ġthe' of " + test::data_file("tiny-model/tokenizer.json").string() +
          " has the id 261, but the model has embeddings for 0 to 260; is the tokenizer of another model?");
}

TEST(Tokenizer, SpansAreTheBytesOfTheirTokens) {
  const Encoding encoding = tiny().encode("I like 日!<|im_end|>", false);
  std::vector<std::string> tokens;
  for (const int64_t id : encoding.ids) tokens.push_back(tiny().id_to_token(id));
  EXPECT_EQ(tokens, (std::vector<std::string>{"I", "Ġlike", "Ġ", "æ", "Ĺ", "¥", "!", "<|im_end|>"}));
  EXPECT_EQ(encoding.spans,
            (std::vector<Span>{{0, 1}, {1, 6}, {6, 7}, {7, 8}, {8, 9}, {9, 10}, {10, 11}, {11, 21}}));
}

TEST(Tokenizer, WithoutANormalizerTextsComeBackByteForByte) {
  RandomStream random(1, "texts");
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random_text(random);
    const Encoding encoding = tiny().encode(text, false);
    ASSERT_EQ(tiny().decode(encoding.ids, false), text);
    ASSERT_EQ(encoding.ids.size(), encoding.spans.size());
    size_t end = 0;
    for (const Span span : encoding.spans) {  // one after the other, none empty
      ASSERT_EQ(span.begin, end);
      ASSERT_GT(span.end, span.begin);
      end = span.end;
    }
    ASSERT_EQ(end, text.size());
  }
}

TEST(Tokenizer, SpansGoThroughTheNormalizer) {
  const Tokenizer nfc = changed({{"normalizer", {{"type", "NFC"}}}});
  const Encoding encoding = nfc.encode("ae\u0301<|im_end|>b", false);  // e and acute are bytes 1 to 3
  EXPECT_EQ(encoding.ids, encode(nfc, "aé<|im_end|>b"));
  ASSERT_EQ(encoding.spans.size(), 5u);
  EXPECT_EQ(encoding.spans, (std::vector<Span>{{0, 1}, {1, 4}, {1, 4}, {4, 14}, {14, 15}}));
}

TEST(Tokenizer, NormalizedAddedTokensAreFoundAfterTheNormalizer) {
  const Json flags = {{"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"special", false}};
  Json raw = flags, normalized = flags;
  raw.update({{"id", 512}, {"content", "<e\u0301>"}, {"normalized", false}});
  normalized.update({{"id", 513}, {"content", "[e\u0301]"}, {"normalized", true}});
  const Tokenizer t =
      changed({{"normalizer", {{"type", "NFC"}}}, {"added_tokens", Json::array({raw, normalized})}});
  EXPECT_EQ(encode(t, "<e\u0301>"), Ids{512});
  EXPECT_NE(encode(t, "<é>"), Ids{512});
  EXPECT_EQ(encode(t, "[e\u0301]"), Ids{513});
  EXPECT_EQ(encode(t, "[é]"), Ids{513});
  EXPECT_EQ(t.token_to_id("[e\u0301]"), 513);
  EXPECT_EQ(t.vocabulary_size(), 514);
}

TEST(Tokenizer, TheTemplateGoesAroundTheText) {
  const Json start = {{"SpecialToken", {{"id", "<|endoftext|>"}, {"type_id", 0}}}};
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json token = {
      {"id", "<|endoftext|>"}, {"ids", Json::array({0})}, {"tokens", Json::array({"<|endoftext|>"})}};
  const Tokenizer t = changed({{"post_processor",
                                {{"type", "TemplateProcessing"},
                                 {"single", Json::array({start, text, start})},
                                 {"pair", Json::array()},
                                 {"special_tokens", {{"<|endoftext|>", token}}}}}});
  EXPECT_EQ(encode(t, "the"), encode(tiny(), "the"));
  const Encoding encoding = t.encode("I", true);
  EXPECT_EQ(encoding.ids, (Ids{0, 43, 0}));
  EXPECT_EQ(encoding.spans, (std::vector<Span>{{0, 0}, {0, 1}, {1, 1}}));
}

TEST(Tokenizer, InvalidUtf8IsRefusedWithItsPlace) {
  const std::string path = test::data_file("tiny-model/tokenizer.json").string();
  EXPECT_USER_ERROR(tiny().encode("naïve\xFFzz", false),
                    path + ": the text is not valid UTF-8: byte 0xff at offset 6");
  EXPECT_USER_ERROR(tiny().encode("cut off \xE2\x82", false),
                    path + ": the text is not valid UTF-8: byte 0xe2 at offset 8");
}

TEST(Tokenizer, DecodeLeavesOutWhatIsAskedForAndWhatIsNoToken) {
  EXPECT_EQ(tiny().decode(Ids{1, 427, 2}, false), "<|im_start|>user<|im_end|>");
  EXPECT_EQ(tiny().decode(Ids{1, 427, 2}, true), "user");
  EXPECT_EQ(tiny().decode(Ids{427, 512, -1, 1'000'000'000'000}, false), "user");
  EXPECT_EQ(tiny().decode(Ids{175, 256, 427}, false), "\uFFFDuser");  // the beginning of 😀 alone
}

TEST(Tokenizer, KnowsItsVocabulary) {
  EXPECT_EQ(tiny().vocabulary_size(), 512);
  EXPECT_EQ(tiny().token_to_id("Ġthe"), 261);
  EXPECT_EQ(tiny().token_to_id("<|im_end|>"), 2);
  EXPECT_EQ(tiny().token_to_id(" the"), std::nullopt);
  EXPECT_EQ(tiny().id_to_token(261), "Ġthe");
  EXPECT_TRUE(tiny().is_special(2));
  EXPECT_FALSE(tiny().is_special(261));
  EXPECT_FALSE(tiny().is_special(512));
  EXPECT_TRUE(tiny().has_token(511));
  EXPECT_FALSE(tiny().has_token(512));
  EXPECT_FALSE(tiny().has_token(-1));
  EXPECT_USER_ERROR(tiny().id_to_token(512), test::data_file("tiny-model/tokenizer.json").string() +
                                                 ": no token has the id 512; ids are 0 to 511");
}

TEST(Tokenizer, ThreadsShareOne) {
  RandomStream random(2, "texts");
  std::vector<std::string> texts(300);
  std::vector<Ids> expected;
  for (std::string& text : texts) expected.push_back(encode(tiny(), text = random_text(random)));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < texts.size(); ++i) wrong += encode(tiny(), texts[i]) != expected[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(StreamDecoder, PiecesAreValidAndMakeTheWhole) {
  RandomStream random(3, "ids");
  for (int i = 0; i < 2000; ++i) {
    Ids ids(random.below(20));
    for (int64_t& id : ids)
      id = static_cast<int64_t>(random.below(i % 2 == 0 ? 514 : 259));  // half of them mostly bytes
    StreamDecoder decoder(tiny(), false);
    std::string text;
    for (const int64_t id : ids) {
      const std::string piece = decoder.push(id);
      ASSERT_EQ(find_invalid_utf8(piece), std::string::npos);
      text += piece;
    }
    ASSERT_EQ(text + decoder.finish(), tiny().decode(ids, false));
  }
}

TEST(StreamDecoder, HoldsBackWhatIsNotComplete) {
  StreamDecoder decoder(tiny(), true);
  EXPECT_EQ(decoder.push(130), "");  // the first byte of ï
  EXPECT_EQ(decoder.push(110), "ï");
  EXPECT_EQ(decoder.push(2), "");
  EXPECT_EQ(decoder.push(130), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(Tokenizer, DamagedFilesAreNamed) {
  const test::ScratchFolder folder;
  const std::string text = read_file(test::data_file("tiny-model/tokenizer.json"));
  const auto path = folder.write("tokenizer.json", text.substr(0, 2000));
  EXPECT_USER_ERROR(Tokenizer::load(folder.path()),
                    path.string() + ": line 132, column 10: not valid JSON (expected '}')");
  EXPECT_USER_ERROR(Tokenizer::from_json(Json::array(), "x.json"),
                    "x.json: not a tokenizer.json: it has no 'model'");
  EXPECT_USER_ERROR(changed({{"version", "2.0"}}), "x.json: the version is '2.0', want '1.0'");
  EXPECT_USER_ERROR(
      changed({{"chat", 1}}),
      "x.json: Caltrop knows no part 'chat' of a tokenizer; it knows: version, truncation, padding, "
      "added_tokens, normalizer, pre_tokenizer, post_processor, decoder, model");
  EXPECT_USER_ERROR(changed({{"model", 3}}), "x.json: model: a model is number, want an object");
  EXPECT_NO_THROW(changed({{"truncation", {{"max_length", 512}}}, {"padding", {{"pad_id", 2}}}}));
}

TEST(Tokenizer, AddedTokensThatContradictTheVocabularyAreNamed) {
  const auto with = [](size_t i, const Json& patch) {
    Json tokens = tiny_json()["added_tokens"];
    tokens[i].merge_patch(patch);
    return changed({{"added_tokens", tokens}});
  };
  EXPECT_USER_ERROR(with(1, {{"id", 5}}),
                    "x.json: added_tokens[1]: '<|im_start|>' has the id 5, but 1 in the vocabulary");
  EXPECT_USER_ERROR(with(1, {{"content", "<new>"}, {"id", 43}}),
                    "x.json: added_tokens[1]: '<new>' has the id 43, which 'I' has already");
  EXPECT_USER_ERROR(with(1, {{"content", "<new>"}, {"id", -7}}),
                    "x.json: added_tokens[1]: '<new>' has the id -7, want 0 to 16777215");
  EXPECT_USER_ERROR(with(1, {{"content", "<|endoftext|>"}, {"id", 0}}),
                    "x.json: added_tokens[1]: '<|endoftext|>' stands twice in the list");
}

// Whatever one byte of the file becomes, there is a tokenizer or a UserError.
TEST(Tokenizer, NoDamageCrashes) {
  const std::string text = read_file(test::data_file("tiny-model/tokenizer.json"));
  RandomStream random(4, "damage");
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    std::string damaged = text;
    damaged[random.below(i % 2 == 0 ? damaged.size() : 1500)] = "\0{}[]\",:0x\xC3-"[random.below(13)];
    try {
      Tokenizer::from_json(parse_json(damaged, "x.json"), "x.json").encode("The water, 12é", true);
    } catch (const UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 250);
}

}  // namespace
}  // namespace caltrop
