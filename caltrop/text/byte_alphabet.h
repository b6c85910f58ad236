// The alphabet of byte-level vocabularies: 256 printable characters, one a byte, so that any bytes can be
// spelt in JSON.
//
// Bytes that print in Latin-1 stand for themselves; the others are given U+0100, U+0101, … in order, so that
// a space is "Ġ" and a line feed "Ċ" (openai/gpt-2: src/encoder.py, bytes_to_unicode).
//
// Inside Caltrop a byte-level token is its bytes: tokens are translated once, when a file is read, and texts
// never. Tested by tests/text/byte_alphabet_test.cc.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace caltrop {

/// The spelling of `bytes`.
std::string spell_bytes(std::string_view bytes);

/// The bytes that `token` spells, or nothing if it has a character that is not of the alphabet. REQUIRES
/// valid UTF-8.
std::optional<std::string> spelt_bytes(std::string_view token);

}  // namespace caltrop
