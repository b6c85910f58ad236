#include "tests/support/support.h"

#include <cstdlib>
#include <fstream>

namespace caltrop::test {

namespace fs = std::filesystem;

ScratchFolder::ScratchFolder() {
  std::string pattern = (fs::temp_directory_path() / "caltrop-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + pattern);
  path_ = pattern;
}

ScratchFolder::~ScratchFolder() { fs::remove_all(path_); }

fs::path ScratchFolder::write(const std::string& name, const std::string& bytes) const {
  const fs::path path = path_ / name;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

bool counts_peaks_anew() { return std::ofstream("/proc/self/clear_refs").is_open(); }

fs::path data_file(const std::string& name) { return fs::path(TEST_DATA_DIR) / name; }

}  // namespace caltrop::test
