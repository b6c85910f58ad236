#include "caltrop/text/utf8.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

constexpr size_t kNone = std::string_view::npos;

TEST(Utf8, EveryScalarValueGoesAndComesBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string bytes;
    append_utf8(bytes, c);
    ASSERT_EQ(find_invalid_utf8(bytes), kNone) << static_cast<uint32_t>(c);
    ASSERT_EQ(utf8_length(bytes[0]), bytes.size());
    ASSERT_EQ(decode_utf8(bytes, 0), c);
    ASSERT_EQ(previous_utf8("x" + bytes, 1 + bytes.size()), 1u);
  }
}

TEST(Utf8, WhatIsNotUtf8IsFoundWhereItBegins) {
  EXPECT_EQ(find_invalid_utf8("plain text of more than eight bytes"), kNone);
  EXPECT_EQ(find_invalid_utf8("0123456789\x80"), 10u);
  EXPECT_EQ(find_invalid_utf8("ab\xC0\xAF"), 2u);         // overlong
  EXPECT_EQ(find_invalid_utf8("ab\xE0\x80\xAF"), 2u);     // overlong
  EXPECT_EQ(find_invalid_utf8("é\xED\xA0\x80"), 2u);      // surrogate
  EXPECT_EQ(find_invalid_utf8("é\xF4\x90\x80\x80"), 2u);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("é\xF5\x80\x80\x80"), 2u);
  EXPECT_EQ(find_invalid_utf8("abc\xE2\x82"), 3u);  // cut off
}

// The table of the Unicode standard, 3.9, "U+FFFD for Truncated Sequences" and its neighbours.
TEST(Utf8, MaximalSubpartsBecomeOneReplacementEach) {
  EXPECT_EQ(replace_invalid_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                                 "b\x80"
                                 "c\x80\xBF"
                                 "d"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80\x41"), "\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(replace_invalid_utf8("naïve 😀"), "naïve 😀");
}

TEST(Utf8, OnlyAnEndThatCanStillBecomeACharacterIsIncomplete) {
  EXPECT_EQ(incomplete_utf8_suffix(""), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("é"), 0u);
  EXPECT_EQ(incomplete_utf8_suffix("x\xC3"), 1u);
  EXPECT_EQ(incomplete_utf8_suffix("x\xF0\x9F"), 2u);
  EXPECT_EQ(incomplete_utf8_suffix("x\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_suffix("x\xED\xA0"), 0u);  // would be a surrogate
  EXPECT_EQ(incomplete_utf8_suffix("x\x80"), 0u);
}

}  // namespace
}  // namespace caltrop
