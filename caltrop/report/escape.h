// Text from models and files, made safe to show. A model's answer is hostile input: it may hold markup, a
// closing </script>, terminal escapes, marks that turn the reading direction round, or characters nobody can see.
// Here all of that becomes text that a person can read. Tested by tests/report/escape_test.cc.
#pragma once

#include <string>
#include <string_view>

#include "caltrop/base/json.h"

namespace caltrop {

/// For the content of an HTML element. Markup is escaped; characters without a picture of their own (control
/// characters other than line break and tab, direction marks, zero-width and tag characters) stand in
/// <span class="ctl"> as \x1b or \u202e. Bytes that are no UTF-8 become U+FFFD.
std::string html_text(std::string_view text);

/// For a double-quoted HTML attribute: the same, without tags.
std::string html_attribute(std::string_view text);

/// For a terminal: the same, without markup; line breaks and tabs become spaces.
std::string terminal_text(std::string_view text);

/// JSON that may stand inside a <script> element: <, >, & and the two Unicode line separators are written as
/// \u00xx.
std::string script_json(const Json& value);

/// The source expression by which a Content-Security-Policy allows exactly this inline script or style:
/// 'sha256-<base64>'.
std::string content_hash(std::string_view content);

}  // namespace caltrop
