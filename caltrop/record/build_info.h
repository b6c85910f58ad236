// Which program made a result: version, commit, and whether the tree had changes that no commit holds. The
// commit is looked up at build time (cmake/BuildInfo.cmake); a tree without git says "unknown".
#pragma once

#include <string>

#include "caltrop/base/json.h"

namespace caltrop {

struct BuildInfo {
  std::string version;  // "0.1.0"
  std::string commit;   // forty hex digits, or "unknown"
  bool dirty = false;   // tracked files differed from that commit
};

const BuildInfo& build_info();

/// {"version", "commit", "dirty"}: the `program` of manifests.
Json build_info_json();

}  // namespace caltrop
