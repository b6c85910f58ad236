#include "caltrop/record/run_dir.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "caltrop/base/files.h"
#include "caltrop/record/build_info.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;
using test::ScratchFolder;
using testing::HasSubstr;

const std::string kSpec(64, 'a'), kOtherSpec(64, 'b');

Json start(int64_t steps) {
  return {{"kind", "attack"}, {"spec", {{"attack", "sft"}, {"train", {{"steps", steps}}}}}};
}

RunDir open(const fs::path& path) { return RunDir::create_or_resume(path, kSpec, start(40)); }

TEST(RunDirectory, ANewOneSaysWhatRuns) {
  const ScratchFolder scratch;
  const RunDir run = open(scratch / "a/b/run");
  EXPECT_FALSE(run.resumed());
  EXPECT_FALSE(run.finished());
  const Json manifest = read_manifest(scratch / "a/b/run");
  EXPECT_EQ(manifest.at("status"), "running");
  EXPECT_EQ(manifest.at("kind"), "attack");
  EXPECT_EQ(manifest.at("spec_hash"), kSpec);
  EXPECT_EQ(manifest.at("program"), build_info_json());
  EXPECT_EQ(manifest.at("started").get<std::string>().size(), std::string("2026-03-14T15:09:26Z").size());
  EXPECT_GT(manifest.at("peak_memory_bytes").get<int64_t>(), 1 << 20);
  EXPECT_FALSE(is_finished_run(run.root()));
}

TEST(RunDirectory, AFinishedOneIsReusedAndNotTouched) {
  const ScratchFolder scratch;
  {
    RunDir run = open(scratch / "run");
    run.finish({{"predicted_memory_bytes", 7}});
  }
  EXPECT_TRUE(fs::exists(scratch / "run/DONE"));
  const std::string before = read_file(scratch / "run/run.json");
  const RunDir run = open(scratch / "run");
  EXPECT_TRUE(run.finished());
  EXPECT_EQ(run.manifest().at("status"), "done");
  EXPECT_EQ(run.manifest().at("predicted_memory_bytes"), 7);
  EXPECT_EQ(read_file(scratch / "run/run.json"), before);
}

TEST(RunDirectory, AnUnfinishedOneIsResumedAndTimeAddsUp) {
  const ScratchFolder scratch;
  {
    RunDir run = open(scratch / "run");
    run.update_manifest({{"wall_seconds_before_test", true}});
  }
  Json manifest = read_manifest(scratch / "run");
  manifest["wall_seconds"] = 1000.0;
  write_file(scratch / "run/run.json", to_pretty(manifest));

  RunDir run = open(scratch / "run");
  EXPECT_TRUE(run.resumed());
  run.finish(Json::object());
  manifest = read_manifest(scratch / "run");
  EXPECT_GE(manifest.at("wall_seconds").get<double>(), 1000.0);
  EXPECT_LT(manifest.at("wall_seconds").get<double>(), 1060.0);
  EXPECT_EQ(manifest.at("resumes").size(), 1u);
}

TEST(RunDirectory, AFailedOneKeepsItsErrorUntilItIsResumed) {
  const ScratchFolder scratch;
  {
    RunDir run = open(scratch / "run");
    run.fail("train: at step 3 the gradient of lm_head.weight is not finite");
  }
  Json manifest = read_manifest(scratch / "run");
  EXPECT_EQ(manifest.at("status"), "failed");
  EXPECT_THAT(manifest.at("error").get<std::string>(), HasSubstr("not finite"));
  const RunDir run = open(scratch / "run");
  EXPECT_TRUE(run.resumed());
  manifest = read_manifest(scratch / "run");
  EXPECT_EQ(manifest.at("status"), "running");
  EXPECT_FALSE(manifest.contains("error"));
}

TEST(RunDirectory, AnotherSpecIsRefusedFinishedOrNot) {
  const ScratchFolder scratch;
  const std::string path = (scratch / "run").string();
  const std::string message =
      path +
      ": belongs to another spec: aaaaaaaaaaaa there, bbbbbbbbbbbb here (train.steps is 40 there "
      "and 60 here); choose another --out, or delete the folder if it is no longer wanted";
  {
    RunDir run = open(path);
    const std::string before = read_file(scratch / "run/run.json");
    EXPECT_USER_ERROR(RunDir::create_or_resume(path, kOtherSpec, start(60)), message);
    EXPECT_EQ(read_file(scratch / "run/run.json"), before);
    run.finish(Json::object());
  }
  EXPECT_USER_ERROR(RunDir::create_or_resume(path, kOtherSpec, start(60)), message);
}

TEST(RunDirectory, AnInputThatHasChangedIsNamed) {
  const ScratchFolder scratch;
  const std::string path = (scratch / "run").string();
  const auto begin = [&](const Json& inputs) {
    Json manifest = start(40);
    manifest["inputs"] = inputs;
    RunDir::create_or_resume(path, kSpec, manifest);
  };
  begin({{"m/tokenizer.json", "aa"}});
  begin({{"m/tokenizer.json", "aa"}, {"m/chat_template.jinja", "bb"}});  // a file that nobody looked at then
  EXPECT_USER_ERROR(begin({{"m/tokenizer.json", "cc"}}),
                    path +
                        ": m/tokenizer.json is not what it was when this run began; choose another --out, or "
                        "delete the folder if it is "
                        "no longer wanted");
}

TEST(RunDirectory, AFolderWithOtherThingsIsRefusedAndLeftAlone) {
  const ScratchFolder scratch;
  scratch.write("home/thesis.txt", "precious");
  const std::string path = (scratch / "home").string();
  EXPECT_USER_ERROR(open(path),
                    path +
                        ": this folder is not empty and is no run directory (it holds 'thesis.txt' but no "
                        "run.json); choose another --out");
  EXPECT_FALSE(fs::exists(scratch / "home/lock"));
  const std::string file = (scratch / "home/thesis.txt").string();
  EXPECT_USER_ERROR(open(file), file + ": cannot make the run directory: Not a directory");
}

TEST(RunDirectory, AnEmptyFolderAndALeftoverLockAreNew) {
  const ScratchFolder scratch;
  fs::create_directories(scratch / "empty");
  EXPECT_FALSE(open(scratch / "empty").resumed());
  scratch.write("killed/lock", "1\n");
  scratch.write("killed/.run.json.1.tmp", "{");
  EXPECT_FALSE(open(scratch / "killed").resumed());
}

// Another process puts run.json into the folder while this one looks whose it is: seldom at a single look, often in a hundred rounds.
TEST(RunDirectory, ARunThatBeginsMeanwhileIsNoForeignFolder) {
  const ScratchFolder scratch;
  for (int round = 0; round < 100; ++round) {
    const fs::path path = scratch / std::to_string(round);
    std::atomic<bool> seen = false;
    std::thread other([&] {
      const RunDir run = open(path);
      while (!seen) std::this_thread::yield();
    });
    while (!is_running(path)) std::this_thread::yield();
    for (bool begun = false; !begun;) {
      begun = fs::exists(path / "run.json");
      EXPECT_THROW(open(path), BusyRunDir);
    }
    seen = true;
    other.join();
  }
}

TEST(RunDirectory, TwoRunsInOneDirectoryAreRefused) {
  const ScratchFolder scratch;
  const std::string path = (scratch / "run").string();
  const RunDir run = open(path);
  EXPECT_TRUE(is_running(path));
  EXPECT_USER_ERROR(open(path),
                    fmt::format("{}: process {} is working in this run directory; wait for it, or choose "
                                "another --out",
                                path, ::getpid()));
}

TEST(RunDirectory, TheLockGoesWithAKilledProcess) {
  const ScratchFolder scratch;
  const fs::path path = scratch / "run";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunDir run = open(path);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(is_running(path));
  EXPECT_USER_ERROR(open(path),
                    fmt::format("{}: process {} is working in this run directory; wait for it, or choose "
                                "another --out",
                                path.string(), child));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_running(path));
  EXPECT_TRUE(open(path).resumed());
}

TEST(RunDirectory, BrokenManifestsAreNamed) {
  const ScratchFolder scratch;
  const std::string file = scratch.write("run/run.json", "{\"format\":1,\n\"spec_hash\":").string();
  EXPECT_USER_ERROR(open(scratch / "run"),
                    file + ": line 2, column 13: not valid JSON (expected '[', '{', or a literal)");
  scratch.write("run/run.json", R"({"format":2,"spec_hash":"x"})");
  EXPECT_USER_ERROR(open(scratch / "run"),
                    file +
                        ": has format 2, this program reads format 1 (written by another "
                        "version of Caltrop?)");
  scratch.write("run/run.json", R"({"format":1})");
  EXPECT_USER_ERROR(open(scratch / "run"), file + ": 'spec_hash' is missing");
}

TEST(BuildInfo, NamesTheCommit) {
  EXPECT_FALSE(build_info().version.empty());
  const std::string& commit = build_info().commit;
  EXPECT_TRUE(commit == "unknown" ||
              (commit.size() == 40 && commit.find_first_not_of("0123456789abcdef") == std::string::npos))
      << commit;
}

}  // namespace
}  // namespace caltrop
