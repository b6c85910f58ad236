#include "caltrop/text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

struct Alphabet {
  std::array<char32_t, 256> character;  // of each byte
  std::array<int16_t, 324> byte;        // of each character below U+0144, -1 for none
};

const Alphabet& alphabet() {
  static const Alphabet made = [] {
    Alphabet a{};
    a.byte.fill(-1);
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      a.character[b] = prints ? b : next++;
      a.byte[a.character[b]] = static_cast<int16_t>(b);
    }
    return a;
  }();
  return made;
}

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  std::string token;
  for (const char byte : bytes) append_utf8(token, alphabet().character[static_cast<unsigned char>(byte)]);
  return token;
}

std::optional<std::string> spelt_bytes(std::string_view token) {
  std::string bytes;
  bytes.reserve(token.size());
  for (size_t at = 0; at < token.size(); at += utf8_length(token[at])) {
    // The alphabet ends at U+0143, so a character of it has one or two bytes.
    const auto lead = static_cast<unsigned char>(token[at]);
    if (lead >= 0xE0) return std::nullopt;
    const size_t character =
        lead < 0x80 ? lead : (lead & 0x1Fu) << 6 | (static_cast<unsigned char>(token[at + 1]) & 0x3Fu);
    if (character >= alphabet().byte.size() || alphabet().byte[character] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet().byte[character]);
  }
  return bytes;
}

}  // namespace caltrop
