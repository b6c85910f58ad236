#include "caltrop/text/decoder.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

Decoder decoder(const std::string& json) {
  const Json kept = parse_json(json, "x.json");
  return Decoder(Component(kept, "x.json", "decoder", "decoder"));
}

TEST(Decoder, ByteLevelTokensAreTheBytesTheySpell) {
  const Decoder bytes = decoder(R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true})");
  EXPECT_EQ(bytes.bytes_of("Ġhé"), " h\xE9");
  EXPECT_EQ(bytes.bytes_of("日本 x"), "日本 x");  // an added token, not spelt in the byte alphabet
  EXPECT_EQ(bytes.separator(), "");
}

TEST(Decoder, NoneJoinsWithSpaces) {
  EXPECT_EQ(Decoder().bytes_of("Ġh"), "Ġh");
  EXPECT_EQ(Decoder().separator(), " ");
}

TEST(Decoder, OnlyASequenceOfOneIsKnown) {
  EXPECT_TRUE(decoder(R"({"type": "Sequence", "decoders": [{"type": "ByteLevel"}]})").byte_level);
  EXPECT_USER_ERROR(
      decoder(R"({"type": "Sequence", "decoders": [{"type": "ByteLevel"}, {"type": "Fuse"}]})"),
      "x.json: decoder: a sequence of 2 decoders is not supported by Caltrop, only one of a single "
      "ByteLevel");
  EXPECT_USER_ERROR(
      decoder(R"({"type": "Sequence", "decoders": [{"type": "WordPiece"}]})"),
      "x.json: decoder.decoders[0]: Caltrop knows no decoder of type 'WordPiece'; it knows: ByteLevel, "
      "Sequence");
}

}  // namespace
}  // namespace caltrop
