#include "caltrop/text/python_text.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

using testing::ElementsAre;

TEST(PythonText, CharactersAreCodePointsAndStrayBytesAreOneEach) {
  EXPECT_THAT(characters("aé漢🍲"), ElementsAre("a", "é", "漢", "🍲"));
  EXPECT_THAT(characters("a\xFF\xC3z"), ElementsAre("a", "\xFF", "\xC3", "z"));
  EXPECT_EQ(count_characters("é漢\xFF"), 3);
}

TEST(PythonText, Strip) {
  EXPECT_EQ(strip(" \u00a0\u2003a b\u3000\n", Ends::kBoth), "a b");
  EXPECT_EQ(strip(" a ", Ends::kLeft), "a ");
  EXPECT_EQ(strip(" a ", Ends::kRight), " a");
  EXPECT_EQ(strip(" \n", Ends::kBoth), "");
  EXPECT_EQ(strip("\u200b", Ends::kBoth), "\u200b");  // not white space
  EXPECT_EQ(strip("éaé", Ends::kBoth, "é"), "a");
  EXPECT_EQ(strip("\x80\xA9 ", Ends::kRight), "\x80\xA9");
}

TEST(PythonText, Split) {
  EXPECT_THAT(split("a,b,c", ",", -1, false), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split("a,b,c", ",", 1, true), ElementsAre("a,b", "c"));
  EXPECT_THAT(split("", ",", -1, false), ElementsAre(""));
  EXPECT_THAT(split_at_space(" a  b c ", 1, false), ElementsAre("a", "b c "));
  EXPECT_THAT(split_at_space(" a  b c ", 1, true), ElementsAre(" a  b", "c"));
  EXPECT_THAT(split_at_space(" \n", -1, false), ElementsAre());
  EXPECT_THAT(split_lines("a\r\nb\n\nc\u2028d", false), ElementsAre("a", "b", "", "c", "d"));
  EXPECT_THAT(split_lines("a\r\nb\n", true), ElementsAre("a\r\n", "b\n"));
}

TEST(PythonText, Case) {
  EXPECT_EQ(upper("aéß1"), "AÉSS1");
  EXPECT_EQ(lower("AÉΣ"), "aéσ");  // Python: a final sigma
  EXPECT_EQ(title("it's a1b"), "It'S A1B");
  EXPECT_EQ(capitalize("éCOLE"), "École");
}

TEST(PythonText, Replace) {
  EXPECT_EQ(replace("aaa", "a", "b", 2), "bba");
  EXPECT_EQ(replace("é", "", "-", -1), "-é-");
  EXPECT_EQ(replace("ab", "", "-", 1), "-ab");
}

}  // namespace
}  // namespace caltrop
