#include "caltrop/record/metrics.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

#include "caltrop/base/error.h"
#include "caltrop/base/files.h"
#include "caltrop/base/json.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

struct Line {
  std::optional<MetricDeclaration> declaration;
  MetricsRecord record;  // if there is no declaration
};

bool is_phase(const std::string& phase) { return phase == "train" || phase == "eval"; }

bool is_reserved(const std::string& name) {
  return name == "step" || name == "phase" || name == "declare" || name == "non_finite";
}

Json to_json(const MetricDeclaration& d) {
  return {{"declare", {{"name", d.name}, {"unit", d.unit}, {"better", d.better}, {"meaning", d.meaning}}}};
}

Line parse_line(const Json& json, const std::string& where) {
  Line line;
  if (json.is_object() && json.contains("declare")) {
    const Json& d = json.at("declare");
    line.declaration = {required<std::string>(d, "name", where), required<std::string>(d, "unit", where),
                        required<std::string>(d, "better", where),
                        required<std::string>(d, "meaning", where)};
    return line;
  }
  line.record.step = required<int64_t>(json, "step", where);
  line.record.phase = required<std::string>(json, "phase", where);
  if (!is_phase(line.record.phase)) {
    throw UserError("{}: 'phase' is '{}', want train or eval", where, line.record.phase);
  }
  for (const auto& [name, value] : json.items()) {
    if (is_reserved(name)) continue;
    const bool finite = !value.is_null();
    line.record.values.emplace_back(
        name, finite ? required<double>(json, name, where) : std::numeric_limits<double>::quiet_NaN());
  }
  return line;
}

/// Calls `visit(line, offset of its first byte)` for each whole line until it answers false; returns where it
/// stopped.
size_t read_lines(const fs::path& path, const std::string& text,
                  const std::function<bool(const Line&)>& visit) {
  size_t begin = 0;
  for (int64_t number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // the half line of a killed process
    const Json json = parse_json(std::string_view(text).substr(begin, end - begin), path.string(), number);
    if (!visit(parse_line(json, fmt::format("{}: line {}", path.string(), number)))) break;
    begin = end + 1;
  }
  return begin;
}

}  // namespace

MetricsWriter::MetricsWriter(fs::path path, int64_t steps_done) : path_(std::move(path)) {
  if (fs::exists(path_)) {
    const size_t keep = read_lines(path_, read_file(path_), [&](const Line& line) {
      if (line.declaration) {
        declared_[line.declaration->name] = *line.declaration;
        return true;
      }
      if (line.record.step > steps_done) return false;
      if (line.record.step != last_step_) written_.clear();
      last_step_ = line.record.step;
      written_.emplace(line.record.step, line.record.phase);
      return true;
    });
    std::error_code error;
    fs::resize_file(path_, keep, error);
    if (error) throw UserError("{}: cannot shorten: {}", path_.string(), error.message());
  }
  file_ = std::fopen(path_.c_str(), "ae");
  if (file_ == nullptr) throw UserError("{}: cannot open: {}", path_.string(), std::strerror(errno));
  std::setvbuf(file_, nullptr, _IONBF, 0);  // one record, one write
}

MetricsWriter::~MetricsWriter() { std::fclose(file_); }

void MetricsWriter::append(const std::string& line) {
  std::error_code ignored;
  const auto before = fs::file_size(path_, ignored);
  if (std::fwrite(line.data(), 1, line.size(), file_) == line.size()) return;
  const std::string reason = std::strerror(errno);
  fs::resize_file(path_, before, ignored);
  throw UserError("{}: cannot write: {}", path_.string(), reason);
}

void MetricsWriter::declare(const MetricDeclaration& declaration) {
  CALTROP_ASSERT(!declaration.name.empty() && !is_reserved(declaration.name), "metric name '{}'",
                 declaration.name);
  const std::string& better = declaration.better;
  CALTROP_ASSERT(better == "lower" || better == "higher" || better.empty(), "better is '{}'", better);
  const auto [it, is_new] = declared_.emplace(declaration.name, declaration);
  if (is_new) {
    append(to_line(to_json(declaration)) + "\n");
  } else if (it->second != declaration) {
    throw UserError(
        "{}: declares '{}' as {}, this program as {} (the run was begun by another version of Caltrop?)",
        path_.string(), declaration.name, to_line(to_json(it->second).at("declare")),
        to_line(to_json(declaration).at("declare")));
  }
}

void MetricsWriter::write(int64_t step, const std::string& phase, const NamedNumbers& values) {
  CALTROP_ASSERT(is_phase(phase), "phase '{}'", phase);
  CALTROP_ASSERT(step >= last_step_, "a record of step {} after one of step {}", step, last_step_);
  if (step != last_step_) written_.clear();
  last_step_ = step;
  if (!written_.emplace(step, phase).second) return;  // kept from before the resumption

  Json json = {{"step", step}, {"phase", phase}};
  Json non_finite = Json::array();
  for (const auto& [name, value] : values) {
    CALTROP_ASSERT(declared_.contains(name), "metric '{}' was never declared", name);
    if (std::isfinite(value)) {
      json[name] = value;
    } else {
      json[name] = nullptr;
      non_finite.push_back(name);
    }
  }
  if (!non_finite.empty()) json["non_finite"] = non_finite;
  append(to_line(json) + "\n");
}

Metrics read_metrics(const fs::path& path) {
  Metrics metrics;
  read_lines(path, read_file(path), [&](const Line& line) {
    if (line.declaration) {
      metrics.declarations.push_back(*line.declaration);
    } else {
      metrics.records.push_back(line.record);
    }
    return true;
  });
  return metrics;
}

}  // namespace caltrop
