// Options with presets: `preset` decides where the other defaults come from, and options given beside it win.
#pragma once

#include "caltrop/base/fields.h"

namespace caltrop {

/// O has a member `preset` and a function `O::of(preset)`. Throws UserError like read_options.
template <typename O>
O read_preset(const Json& given, const std::string& who) {
  O named;
  if (given.is_object() && given.contains("preset"))
    read_options(named, Json{{"preset", given["preset"]}}, who);
  O options = O::of(named.preset);
  read_options(options, given, who);
  return options;
}

}  // namespace caltrop
