#include "caltrop/text/normalizer.h"

#include "caltrop/text/utf8.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

Normalizer normalizer(const char* json) {
  static Json kept;  // a component refers to its JSON
  kept = parse_json(json, "x.json");
  return Normalizer(Component(kept, "x.json", "normalizer", "normalizer"));
}

std::string normalise(const Normalizer& n, std::string_view text) {
  return std::string(n.apply({text, 0}).view());
}

TEST(Normalizer, FormsAreThoseOfUnicode) {  // Unicode Standard Annex 15, figure 6
  const std::string_view text = "ﬁ 2⁵ ẛ̣";
  EXPECT_EQ(normalise(normalizer(R"({"type": "NFC"})"), text), "ﬁ 2⁵ \u1E9B\u0323");
  EXPECT_EQ(normalise(normalizer(R"({"type": "NFD"})"), text), "ﬁ 2⁵ \u017F\u0323\u0307");
  EXPECT_EQ(normalise(normalizer(R"({"type": "NFKC"})"), text), "fi 25 \u1E69");
  EXPECT_EQ(normalise(normalizer(R"({"type": "NFKD"})"), text), "fi 25 s\u0323\u0307");
}

TEST(Normalizer, KnowsWhereChangedCharactersCameFrom) {
  const std::string text =
      "ne\u0301!e\u0302";  // n, e and acute, !, e and circumflex: bytes 0, 1 to 3, 4, 5 to 7
  const AlignedText nfc = normalizer(R"({"type": "NFC"})").apply({text, 100});
  ASSERT_EQ(nfc.view(), "né!ê");
  EXPECT_EQ(nfc.origin({0, 1}), (Span{100, 101}));
  EXPECT_EQ(nfc.origin({1, 3}), (Span{101, 104}));
  EXPECT_EQ(nfc.origin({2, 3}), (Span{101, 104}));  // half of é is of all of it
  EXPECT_EQ(nfc.origin({3, 4}), (Span{104, 105}));
  EXPECT_EQ(nfc.origin({0, 6}), (Span{100, 108}));
}

TEST(Normalizer, CharactersThatStayKeepTheirBytes) {
  const std::string text = "日本e\u0301";
  const AlignedText nfc = normalizer(R"({"type": "NFC"})").apply({text, 0});
  ASSERT_EQ(nfc.view(), "日本é");
  EXPECT_EQ(nfc.origin({1, 2}), (Span{1, 2}));
  EXPECT_EQ(nfc.origin({4, 6}), (Span{4, 6}));
  EXPECT_EQ(nfc.origin({6, 7}), (Span{6, 9}));
}

// Each pair of characters that may interact, cut into groups and put together, is as the library has the whole: an
// assertion in the normalizer holds it to that. Hangul, marks of several classes, starters that combine with one before.
TEST(Normalizer, GroupsCanBeNormalisedAlone) {
  std::vector<std::string> characters = {"a", "\n", "é", "Å", "가", "각"};
  for (const auto& [first, last] : std::vector<std::pair<char32_t, char32_t>>{{0x300, 0x34F},
                                                                              {0x900, 0x9FF},
                                                                              {0xB80, 0xBFF},
                                                                              {0x1100, 0x1112},
                                                                              {0x1161, 0x1165},
                                                                              {0x11A8, 0x11AC},
                                                                              {0x3099, 0x309A},
                                                                              {0x304B, 0x3050},
                                                                              {0x1D15E, 0x1D170},
                                                                              {0x110BA, 0x110BA},
                                                                              {0x11099, 0x110A0}}) {
    for (char32_t c = first; c <= last; ++c) append_utf8(characters.emplace_back(), c);
  }
  for (const char* form : {R"({"type": "NFC"})", R"({"type": "NFD"})", R"({"type": "NFKC"})"}) {
    const Normalizer n = normalizer(form);
    for (const std::string& a : characters) {
      for (const std::string& b : characters) {
        const std::string once = normalise(n, a + b + "\u0323" + a);
        ASSERT_EQ(normalise(n, once), once);
      }
    }
  }
}

TEST(Normalizer, CharactersThatTheReferenceDoesNotKnowStay) {
  const Normalizer n = normalizer(R"({"type": "NFC"})");
  EXPECT_EQ(normalise(n, "\u08D3\u0650"), "\u08D3\u0650");  // U+0650 goes first since Unicode 11
  EXPECT_EQ(normalise(n, "e\u08D3\u0301"), "e\u08D3\u0301");
  EXPECT_EQ(normalise(n, "\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(normalise(n, "e\u0301\u08D3"), "é\u08D3");
}

TEST(Normalizer, SequencesApplyInOrder) {
  const Normalizer n =
      normalizer(R"({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "NFC"}]})");
  const AlignedText text = n.apply({"ﬁé", 0});
  ASSERT_EQ(text.view(), "fié");
  EXPECT_EQ(text.origin({0, 1}), (Span{0, 3}));
  EXPECT_EQ(text.origin({2, 4}), (Span{3, 5}));
}

TEST(Normalizer, UnknownTypesAndOptionsAreNamed) {
  EXPECT_USER_ERROR(
      normalizer(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})"),
      "x.json: normalizer.normalizers[1]: Caltrop knows no normalizer of type 'Lowercase'; it knows: "
      "NFC, NFD, NFKC, NFKD, Sequence");
  EXPECT_USER_ERROR(normalizer(R"({"type": "NFC", "strict": true})"),
                    "x.json: normalizer: Caltrop knows no option 'strict' here; it knows: ");
  EXPECT_USER_ERROR(normalizer(R"({"form": "NFC"})"), "x.json: normalizer: 'type' is missing");
}

}  // namespace
}  // namespace caltrop
