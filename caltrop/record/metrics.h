// metrics.jsonl: numbers over steps. Every name is declared once, with its unit and meaning, before it is
// used:
//
//   {"declare":{"name":"loss","unit":"nats","better":"lower","meaning":"mean answer loss of the batch"}}
//   {"step":10,"phase":"train","loss":1.25,"gradient_norm":3.5}
//   {"step":10,"phase":"eval","benign_nll":null,"non_finite":["benign_nll"]}
//
// Steps never decrease. Every record is handed to the system as one write, so that a killed process loses
// nothing but at most half a line at the end, which readers ignore. Tested by tests/record/metrics_test.cc.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace caltrop {

struct MetricDeclaration {
  std::string name, unit;
  std::string better;  // "lower", "higher", or "" where neither is
  std::string meaning;
  bool operator==(const MetricDeclaration&) const = default;
};

using NamedNumbers = std::vector<std::pair<std::string, double>>;

struct MetricsRecord {
  int64_t step = 0;     // optimizer steps behind the numbers
  std::string phase;    // "train" or "eval"
  NamedNumbers values;  // not finite: NaN, whatever it was
};

class MetricsWriter {
 public:
  /// Opens `path` for a run that goes on after `steps_done` steps (0: from the start). Records beyond that
  /// step and a half-written last line are cut off. A record of that very step may be there already or not
  /// (evaluation of a step comes after its checkpoint): writing it again is then ignored, so the file ends as
  /// that of an uninterrupted run. Throws UserError for a file that is not as described above.
  MetricsWriter(std::filesystem::path path, int64_t steps_done);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  /// Declaring the same again changes nothing; declaring a known name otherwise throws UserError (the run was
  /// begun by another version of the program).
  void declare(const MetricDeclaration& declaration);

  /// Appends one record. REQUIRES that every name is declared, that `phase` is "train" or "eval", and that
  /// `step` is not before that of the last record. Throws UserError on a full disk, and then leaves the file
  /// as it was.
  void write(int64_t step, const std::string& phase, const NamedNumbers& values);

 private:
  void append(const std::string& line);

  std::filesystem::path path_;
  std::map<std::string, MetricDeclaration> declared_;
  std::set<std::pair<int64_t, std::string>> written_;  // of the last step only
  int64_t last_step_ = 0;
  std::FILE* file_ = nullptr;
};

struct Metrics {
  std::vector<MetricDeclaration> declarations;
  std::vector<MetricsRecord> records;
};

/// Reads a whole metrics.jsonl; a half-written last line is left out. Throws UserError with file and line.
Metrics read_metrics(const std::filesystem::path& path);

}  // namespace caltrop
