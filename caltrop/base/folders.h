// What the standard library's std::filesystem leaves out. Tested by tests/base/files_test.cc.
#pragma once

#include <filesystem>

namespace caltrop {

/// Brings what was made, renamed or removed in a folder to the disk, before what follows can be. Best effort: not every file
/// system can.
void sync_folder(const std::filesystem::path& folder);

/// Whether something is there, or may be: of a path that cannot be looked at (a loop of links, a folder without permission) who
/// opens it says why.
bool may_exist(const std::filesystem::path& path);

}  // namespace caltrop
