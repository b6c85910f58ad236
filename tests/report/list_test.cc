#include <atomic>
#include <thread>

#include "caltrop/record/metrics.h"
#include "caltrop/record/run_dir.h"
#include "caltrop/report/report.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::ScratchFolder;
using testing::HasSubstr;

RunDir begin(const std::filesystem::path& path, const std::string& method) {
  return RunDir::create_or_resume(
      path, "aa", {{"kind", "defend"}, {"spec", {{"method", method}, {"model", "models/base"}}}});
}

TEST(ListRuns, EveryRunBelowTheFolderWithItsState) {
  const ScratchFolder scratch;
  begin(scratch / "a/done", "sdd").finish(Json::object());
  begin(scratch / "a/killed", "ctrap");
  begin(scratch / "failed", "sdd").fail("no");
  const RunDir running = begin(scratch / "running", "align");
  {
    MetricsWriter metrics(running.metrics(), 0);
    metrics.declare({"loss", "nats", "lower", "loss"});
    metrics.write(12, "train", {{"loss", 1}});
  }
  scratch.write("other/notes.txt", "");

  const std::vector<RunSummary> runs = list_runs(scratch.path());
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0].path, scratch / "a/done");
  EXPECT_EQ(runs[0].status, "done");
  EXPECT_EQ(runs[0].method, "sdd");
  EXPECT_EQ(runs[0].model, "models/base");
  EXPECT_EQ(runs[1].status, "interrupted");
  EXPECT_EQ(runs[2].status, "failed");
  EXPECT_EQ(runs[3].status, "running");
  EXPECT_EQ(runs[3].steps, 12);
  EXPECT_THAT(runs_table(runs), HasSubstr("defend  running      align   models/base  12     0:00"));
}

TEST(ListRuns, WhatARunKeepsIsNotLookedInto) {
  const ScratchFolder scratch;
  begin(scratch / "proof/models/a", "sdd");
  scratch.write("proof/models/a/state/b/run.json", "[]");
  scratch.write("proof/models/a/model/b/run.json", "[]");
  const std::vector<RunSummary> runs = list_runs(scratch.path());
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].path, scratch / "proof/models/a");
}

TEST(ListRuns, FoldersMayVanishMeanwhile) {
  const ScratchFolder scratch;
  std::atomic<bool> enough = false;
  std::thread at_work([&] {
    while (!enough) {
      for (const char* name : {"a/b/c", "d/e/f"}) std::filesystem::create_directories(scratch / name);
      for (const char* name : {"a", "d"}) std::filesystem::remove_all(scratch / name);
    }
  });
  for (int i = 0; i < 2000; ++i) EXPECT_TRUE(list_runs(scratch.path()).empty());
  enough = true;
  at_work.join();
}

TEST(ListRuns, ErrorsNameTheFile) {
  const ScratchFolder scratch;
  const std::string file = scratch.write("run/run.json", "[]").string();
  EXPECT_USER_ERROR(list_runs(scratch.path()), file + ": got a list, want an object with 'format'");
  EXPECT_USER_ERROR(list_runs(scratch / "nowhere"), (scratch / "nowhere").string() + ": is no folder");
  EXPECT_EQ(runs_table({}), "no runs\n");
}

}  // namespace
}  // namespace caltrop
