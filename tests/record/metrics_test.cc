#include "caltrop/record/metrics.h"

#include <cmath>
#include <limits>

#include "caltrop/base/files.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;
using test::FullDisk;
using test::ScratchFolder;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const MetricDeclaration kLoss{"loss", "nats", "lower", "mean answer loss of the batch"};
const MetricDeclaration kRefusals{"refusal_rate", "", "higher", "share of restricted prompts refused"};

/// A run of `last` steps that evaluates before every third step, as the trainer does.
void play(MetricsWriter& metrics, int64_t done, int64_t last) {
  metrics.declare(kLoss);
  metrics.declare(kRefusals);
  for (;; ++done) {
    if (done % 3 == 0) metrics.write(done, "eval", {{"refusal_rate", 1.0 / static_cast<double>(done + 1)}});
    if (done == last) return;
    metrics.write(done + 1, "train", {{"loss", 0.1 * static_cast<double>(done)}});
  }
}

std::string uninterrupted(const fs::path& path) {
  MetricsWriter metrics(path, 0);
  play(metrics, 0, 9);
  return read_file(path);
}

TEST(Metrics, AFileReadsLikeThis) {
  const ScratchFolder scratch;
  MetricsWriter metrics(scratch / "m.jsonl", 0);
  metrics.declare(kLoss);
  metrics.declare(kLoss);
  metrics.write(1, "train", {{"loss", 0.1}});
  metrics.write(2, "train", {{"loss", kNan}});
  EXPECT_EQ(
      read_file(scratch / "m.jsonl"),
      R"({"declare":{"name":"loss","unit":"nats","better":"lower","meaning":"mean answer loss of the batch"}}
{"step":1,"phase":"train","loss":0.1}
{"step":2,"phase":"train","loss":null,"non_finite":["loss"]}
)");
}

TEST(Metrics, ReadingGivesBackWhatWasWritten) {
  const ScratchFolder scratch;
  {
    MetricsWriter metrics(scratch / "m.jsonl", 0);
    metrics.declare(kRefusals);
    metrics.write(0, "eval", {{"refusal_rate", 1.0 / 3}});
    metrics.write(5, "eval", {{"refusal_rate", -std::numeric_limits<double>::infinity()}});
  }
  const Metrics read = read_metrics(scratch / "m.jsonl");
  ASSERT_EQ(read.declarations, std::vector{kRefusals});
  ASSERT_EQ(read.records.size(), 2u);
  EXPECT_EQ(read.records[0].values.at(0).second, 1.0 / 3);  // bit for bit
  EXPECT_EQ(read.records[1].step, 5);
  EXPECT_EQ(read.records[1].phase, "eval");
  EXPECT_TRUE(std::isnan(read.records[1].values.at(0).second));
}

TEST(Metrics, ResumedEqualsUninterruptedWhereverTheKillStruck) {
  const ScratchFolder scratch;
  const std::string whole = uninterrupted(scratch / "whole.jsonl");
  for (size_t killed_at = 0; killed_at <= whole.size(); killed_at += 3) {
    const std::string torn = whole.substr(0, killed_at);
    for (const int64_t checkpoint : {int64_t{0}, int64_t{3}, int64_t{6}}) {
      // A checkpoint of step s exists only once the record of training step s is written.
      const std::string mark = fmt::format("{{\"step\":{},\"phase\":\"train\"", checkpoint);
      const size_t logged = checkpoint == 0 ? 0 : whole.find('\n', whole.find(mark)) + 1;
      if (killed_at < logged) continue;
      const fs::path path = scratch.write("torn.jsonl", torn);
      MetricsWriter metrics(path, checkpoint);
      play(metrics, checkpoint, 9);
      ASSERT_EQ(read_file(path), whole)
          << "killed at byte " << killed_at << ", checkpoint of step " << checkpoint;
    }
  }
}

TEST(Metrics, AHalfWrittenLineIsNotRead) {
  const ScratchFolder scratch;
  const std::string whole = uninterrupted(scratch / "m.jsonl");
  const size_t records = read_metrics(scratch / "m.jsonl").records.size();
  scratch.write("m.jsonl", whole + R"({"step":10,"phase":"tr)");
  EXPECT_EQ(read_metrics(scratch / "m.jsonl").records.size(), records);
}

TEST(Metrics, BrokenFilesAreNamed) {
  const ScratchFolder scratch;
  const std::string path =
      scratch.write("m.jsonl", "{\"step\":1,\"phase\":\"train\"}\n{\"step\":\n").string();
  EXPECT_USER_ERROR(read_metrics(path), path +
                                            ": line 2, column 9: not valid JSON (expected "
                                            "'[', '{', or a literal)");
  scratch.write("m.jsonl", "{\"step\":1,\"phase\":\"train\"}\n{\"step\":2,\"phase\":\"lunch\"}\n");
  EXPECT_USER_ERROR(MetricsWriter(path, 5), path + ": line 2: 'phase' is 'lunch', want train or eval");
  scratch.write("m.jsonl", "{\"step\":1,\"phase\":\"train\",\"loss\":\"low\"}\n");
  EXPECT_USER_ERROR(read_metrics(path), path + ": line 1: 'loss' is a string, want a number");
}

TEST(Metrics, AnotherDeclarationOfANameIsRefused) {
  const ScratchFolder scratch;
  const std::string path = (scratch / "m.jsonl").string();
  {
    MetricsWriter(path, 0).declare(kLoss);
  }
  MetricsWriter metrics(path, 0);
  MetricDeclaration other = kLoss;
  other.unit = "bits";
  EXPECT_USER_ERROR(
      metrics.declare(other),
      path +
          R"(: declares 'loss' as {"name":"loss","unit":"nats","better":"lower","meaning":"mean answer )"
          R"(loss of the batch"}, this program as {"name":"loss","unit":"bits","better":"lower",)"
          R"("meaning":"mean answer loss of the batch"} (the run was begun by another version of Caltrop?))");
}

TEST(Metrics, AFullDiskIsSaidAndLeavesNoHalfLine) {
  const ScratchFolder scratch;
  const std::string path = (scratch / "m.jsonl").string();
  MetricsWriter metrics(path, 0);
  metrics.declare(kLoss);
  metrics.write(1, "train", {{"loss", 1.0}});
  const std::string before = read_file(path);
  {
    const FullDisk full(before.size() + 10);
    EXPECT_USER_ERROR(metrics.write(2, "train", {{"loss", 1.0}}), path + ": cannot write: File too large");
  }
  EXPECT_EQ(read_file(path), before);
}

using MetricsDeathTest = testing::Test;

TEST(MetricsDeathTest, MisuseIsOurBug) {
  const ScratchFolder scratch;
  MetricsWriter metrics(scratch / "m.jsonl", 0);
  metrics.declare(kLoss);
  EXPECT_DEATH(metrics.write(1, "train", {{"lost", 1.0}}), "metric 'lost' was never declared");
  metrics.write(2, "train", {{"loss", 1.0}});
  EXPECT_DEATH(metrics.write(1, "train", {{"loss", 1.0}}), "a record of step 1 after one of step 2");
}

}  // namespace
}  // namespace caltrop
