#include "caltrop/base/files.h"

#include "caltrop/base/folders.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Files, WriteReplacesWholeOrNothing) {
  const test::ScratchFolder folder;
  const auto path = folder.write("a.txt", "old");
  EXPECT_THROW(write_file(path,
                          [](const Sink& sink) {
                            sink("half");
                            throw UserError("interrupted");
                          }),
               UserError);
  EXPECT_EQ(read_file(path), "old");
  write_file(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "no temporary file is left";
}

TEST(Files, TwoWritersOfOneFileDoNotMix) {
  const test::ScratchFolder folder;
  const auto path = folder / "a.txt";
  write_file(path, [&](const Sink& sink) {
    sink("outer");
    write_file(path, "inner");  // with the same pid, as on another host it may be
    EXPECT_EQ(read_file(path), "inner");
    sink(", whole");
  });
  EXPECT_EQ(read_file(path), "outer, whole");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "no temporary file is left";
}

TEST(Files, FullDiskIsReportedAndLeavesNothing) {
  EXPECT_USER_ERROR(write_file("/dev/null/x", "bytes"), "/dev/null/x: cannot create: Not a directory");
  const test::ScratchFolder folder;
  const auto path = folder.write("a.txt", "old");
  {
    const test::FullDisk full(1000);
    try {
      write_file(path, std::string(100'000, 'x'));
      FAIL() << "nothing was thrown";
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("File too large"));
    }
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "no temporary file is left";
}

TEST(Files, MissingFileIsNamed) {
  EXPECT_USER_ERROR(read_file("/nowhere/x"), "/nowhere/x: cannot open: No such file or directory");
}

TEST(Files, Sha256IsTheStandardOne) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-2
}

TEST(Files, PathsStayInside) {
  EXPECT_EQ(path_inside("/m", "a/../b.safetensors", "index"), "/m/b.safetensors");
  EXPECT_USER_ERROR(path_inside("/m", "a/../../etc/passwd", "index"),
                    "index: names the file 'a/../../etc/passwd', which lies outside /m");
  EXPECT_USER_ERROR(path_inside("/m", "/etc/passwd", "index"),
                    "index: names the file '/etc/passwd', which lies outside /m");
}

TEST(Folders, WhatCannotBeLookedAtMayExist) {
  const test::ScratchFolder scratch;
  EXPECT_TRUE(may_exist(scratch.path()));
  EXPECT_FALSE(may_exist(scratch / "nothing"));
  std::filesystem::create_symlink("loop", scratch / "loop");
  EXPECT_TRUE(may_exist(scratch / "loop/file"));
}

}  // namespace
}  // namespace caltrop
