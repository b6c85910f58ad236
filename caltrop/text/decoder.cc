#include "caltrop/text/decoder.h"

#include "caltrop/text/byte_alphabet.h"

namespace caltrop {

Decoder::Decoder(const Component& component) {
  const std::string type = component.type();
  if (type == "ByteLevel") {
    component.only({"add_prefix_space", "trim_offsets", "use_regex"});  // none of them matters to decoding
    byte_level = true;
  } else if (type == "Sequence") {
    component.only({"decoders"});
    const auto members = component.members("decoders");
    if (members.size() != 1) {
      throw UserError(
          "{}: a sequence of {} decoders is not supported by Caltrop, only one of a single ByteLevel",
          component.where(), members.size());
    }
    *this = Decoder(members[0]);
  } else {
    throw component.unknown_type({"ByteLevel", "Sequence"});
  }
}

std::string Decoder::bytes_of(std::string_view token) const {
  if (!byte_level) return std::string(token);
  return spelt_bytes(token).value_or(std::string(token));
}

}  // namespace caltrop
