// UTF-8, the one encoding of text here. Tested by tests/text/utf8_test.cc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace caltrop {

/// Offset of the first byte that is not part of valid UTF-8 (overlong forms, surrogates and values above
/// U+10FFFF are not), or npos.
size_t find_invalid_utf8(std::string_view text);

/// Bytes of the character that starts with this byte of valid UTF-8.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The character that starts at `at`, and the offset of the one before it. REQUIRE valid UTF-8 and an `at`
/// between characters: inside the text for the first, not its beginning for the second.
char32_t decode_utf8(std::string_view text, size_t at);
size_t previous_utf8(std::string_view text, size_t at);

/// Appends one character. REQUIRES a Unicode scalar value.
void append_utf8(std::string& out, char32_t character);

/// `bytes` with each maximal run that could not be completed to a character replaced by U+FFFD, as the
/// Unicode standard recommends (3.9, "Substitution of Maximal Subparts") and Rust's from_utf8_lossy does.
std::string replace_invalid_utf8(std::string_view bytes);

/// Bytes at the end that are the beginning of a character whose rest may still come: 0 to 3.
size_t incomplete_utf8_suffix(std::string_view bytes);

}  // namespace caltrop
