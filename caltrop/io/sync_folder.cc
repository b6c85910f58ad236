#include "caltrop/io/sync_folder.h"

#include <fcntl.h>
#include <unistd.h>

namespace caltrop {

void sync_folder(const std::filesystem::path& folder) {
  const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return;
  ::fsync(opened);
  ::close(opened);
}

}  // namespace caltrop
