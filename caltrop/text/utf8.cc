#include "caltrop/text/utf8.h"

#include <cstdint>
#include <cstring>

namespace caltrop {
namespace {

// How the bytes from `at` on begin: `valid` bytes of one character, which is complete or else could become
// one if other bytes followed. `valid` is 0 if the first byte starts no character.
struct Beginning {
  size_t valid;
  bool complete;
};

Beginning read_character(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {0, false};
  const size_t length = utf8_length(bytes[at]);
  // The second byte carries all further limits: no overlong forms, no surrogates, nothing above U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (at + i == bytes.size()) return {i, false};
    const unsigned char next = byte(i);
    if (next < (i == 1 ? low : 0x80) || next > (i == 1 ? high : 0xBF)) return {i, false};
  }
  return {length, true};
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight;
    if (at + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const Beginning one = read_character(text, at);
    if (!one.complete) return at;
    at += one.valid;
  }
  return std::string_view::npos;
}

char32_t decode_utf8(std::string_view text, size_t at) {
  const size_t length = utf8_length(text[at]);
  const auto lead = static_cast<unsigned char>(text[at]);
  char32_t character = length == 1 ? lead : lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    character = character << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
  }
  return character;
}

size_t previous_utf8(std::string_view text, size_t at) {
  do --at;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

void append_utf8(std::string& out, char32_t character) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((character >> shift) & 0x3F)); };
  if (character < 0x80) {
    out += static_cast<char>(character);
  } else if (character < 0x800) {
    out += static_cast<char>(0xC0 | (character >> 6));
    tail(0);
  } else if (character < 0x10000) {
    out += static_cast<char>(0xE0 | (character >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xF0 | (character >> 18));
    tail(12), tail(6), tail(0);
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Beginning one = read_character(bytes, at);
    if (one.complete) {
      out += bytes.substr(at, one.valid);
    } else {
      out += "\uFFFD";
    }
    at += one.valid > 0 ? one.valid : 1;
  }
  return out;
}

size_t incomplete_utf8_suffix(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const Beginning one = read_character(bytes, bytes.size() - back);
    if (one.valid == back && !one.complete) return back;
  }
  return 0;
}

}  // namespace caltrop
