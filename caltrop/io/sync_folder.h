#pragma once

#include <filesystem>

namespace caltrop {

/// Brings what was made, renamed or removed in a folder to the disk, before what follows can be. Best effort: not every file
/// system can.
void sync_folder(const std::filesystem::path& folder);

}  // namespace caltrop
