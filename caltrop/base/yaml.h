// YAML read as JSON values, for specs that people write. Tested by tests/base/yaml_test.cc.
#pragma once

#include "caltrop/base/json.h"

namespace caltrop {

/// Parses one YAML document. Plain scalars become numbers, true/false, null or text ("3e-5" is a number; of YAML's core
/// schema "TRUE", "0x10" and ".inf" stay text); quoted ones are text. Throws UserError "<source>: line L, column C: …" for syntax
/// errors and duplicate keys.
Json parse_yaml(const std::string& text, const std::string& source);
Json read_yaml(const std::filesystem::path& path);

/// The value of one `--set key=value`: a YAML scalar or flow collection ("[1, 2]").
Json parse_yaml_value(const std::string& text, const std::string& source);

/// Sets `spec[a][b][c]` for the path "a.b.c", making objects on the way. Throws UserError if a part of the
/// path is a value.
void set_path(Json& spec, const std::string& path, Json value, const std::string& source);

}  // namespace caltrop
