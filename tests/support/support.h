// What tests share: scratch folders, bytes on disk, and a check of exact error text.
#pragma once

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "caltrop/base/error.h"

namespace caltrop::test {

/// A folder that exists for the life of the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  /// Writes a file (folders made as needed) and returns its path.
  std::filesystem::path write(const std::string& name, const std::string& bytes) const;

 private:
  std::filesystem::path path_;
};

/// Whether this system counts a process's peak of memory anew when it is asked to; some containers refuse.
bool counts_peaks_anew();

/// tests/data/<name>.
std::filesystem::path data_file(const std::string& name);

}  // namespace caltrop::test

/// The statement throws UserError with exactly this message: error text is part of the interface.
#define EXPECT_USER_ERROR(statement, message)                                           \
  do {                                                                                  \
    try {                                                                               \
      statement;                                                                        \
      ADD_FAILURE() << #statement " throws nothing; expected UserError: " << (message); \
    } catch (const ::caltrop::UserError& error_) {                                      \
      EXPECT_EQ(std::string(error_.what()), std::string(message));                      \
    }                                                                                   \
  } while (false)
