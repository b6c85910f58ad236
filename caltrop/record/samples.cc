#include "caltrop/record/samples.h"

#include <algorithm>
#include <charconv>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"

namespace caltrop {

namespace fs = std::filesystem;

void write_samples(const fs::path& folder, int64_t step, const std::vector<Sample>& samples) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw UserError("{}: cannot make the folder: {}", folder.string(), error.message());
  write_file(folder / fmt::format("step-{:06}.jsonl", step), [&](const Sink& sink) {
    for (const Sample& s : samples) {
      const Json row = {
          {"set", s.set},           {"id", s.id},         {"category", s.category}, {"prompt", s.prompt},
          {"response", s.response}, {"tokens", s.tokens}, {"scores", s.scores}};
      sink(to_line(row) + "\n");
    }
  });
}

std::vector<Sample> read_samples(const fs::path& path) {
  std::vector<Sample> samples;
  read_json_lines(path, [&](const Json& row, int64_t line) {
    const std::string where = fmt::format("{}: line {}", path.string(), line);
    Sample s;
    s.set = required<std::string>(row, "set", where);
    s.id = required<std::string>(row, "id", where);
    s.category = required<std::string>(row, "category", where);
    s.prompt = required<std::string>(row, "prompt", where);
    s.response = required<std::string>(row, "response", where);
    s.tokens = required<int64_t>(row, "tokens", where);
    s.scores = required<Json>(row, "scores", where);
    samples.push_back(std::move(s));
  });
  return samples;
}

std::vector<SamplesFile> list_samples(const fs::path& folder) {
  std::vector<SamplesFile> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-") || !name.ends_with(".jsonl")) continue;
    const std::string digits = name.substr(5, name.size() - 11);
    int64_t step = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
    if (error == std::errc() && end == digits.data() + digits.size()) files.push_back({step, entry.path()});
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return files;
}

}  // namespace caltrop
