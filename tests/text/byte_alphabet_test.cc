#include "caltrop/text/byte_alphabet.h"

#include <set>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(ByteAlphabet, EveryByteHasASpellingOfItsOwn) {
  std::set<std::string> spellings;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    spellings.insert(spell_bytes(bytes));
    EXPECT_EQ(spelt_bytes(spell_bytes(bytes)), bytes);
  }
  EXPECT_EQ(spellings.size(), 256u);
}

TEST(ByteAlphabet, IsTheOneOfGpt2) {
  EXPECT_EQ(spell_bytes(" the\n"), "ĠtheĊ");
  EXPECT_EQ(spell_bytes("é"), "Ã©");
  EXPECT_EQ(spell_bytes(std::string_view("\0\x7F\xA0\xAD\xFF", 5)), "ĀġłŃÿ");
}

TEST(ByteAlphabet, OtherCharactersSpellNothing) {
  EXPECT_EQ(spelt_bytes("a b"), std::nullopt);
  EXPECT_EQ(spelt_bytes("\u0144"), std::nullopt);
  EXPECT_EQ(spelt_bytes("日本"), std::nullopt);
  EXPECT_EQ(spelt_bytes("<|end｜>"), std::nullopt);
  EXPECT_EQ(spelt_bytes("<|end|>"), "<|end|>");
}

}  // namespace
}  // namespace caltrop
