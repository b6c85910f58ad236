// The decoder of a tokenizer.json: from tokens back to bytes. Tested by tests/text/decoder_test.cc.
#pragma once

#include <string>
#include <string_view>

#include "caltrop/text/component.h"

namespace caltrop {

/// ByteLevel (also as the one member of a Sequence), or none: then tokens are joined with spaces between
/// them.
struct Decoder {
  bool byte_level = false;

  Decoder() = default;
  /// Throws UserError for a type that is unknown.
  explicit Decoder(const Component& component);

  /// The bytes that one token adds to a text; not necessarily whole characters. A token that is not spelt in
  /// the byte alphabet, as some added tokens are not, stands for itself.
  std::string bytes_of(std::string_view token) const;
  /// What stands between two tokens.
  std::string_view separator() const { return byte_level ? "" : " "; }
};

}  // namespace caltrop
