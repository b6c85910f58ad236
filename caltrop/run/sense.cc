#include "caltrop/run/sense.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/data/collate.h"
#include "caltrop/run/domain.h"
#include "caltrop/train/sensing.h"

namespace caltrop {
namespace {

constexpr int64_t kRows = 32;
constexpr int64_t kLongest = 256;

std::vector<double> numbers(const Json& readings, const char* key, const std::string& who) {
  const auto list = required<Json>(readings, key, who);
  std::vector<double> values;
  for (const Json& value : list) {
    if (!value.is_number()) throw UserError("{}: '{}' holds {}, want numbers", who, key, to_line(value));
    values.push_back(value.get<double>());
  }
  if (values.empty())
    throw UserError(
        "{}: its sensor was never proved ('{}' is empty), so its errors are unknown; it was made with "
        "options.proofs 0: give "
        "the sensor.json of the run that trained the sensor",
        who, key);
  return values;
}

/// Half way between the highest reading of rest and benign trainings and the lowest of attacks.
double threshold_of(double rest, const std::vector<double>& benign, const std::vector<double>& harmful) {
  double highest = rest;
  for (const double reading : benign) highest = std::max(highest, reading);
  return (highest + *std::min_element(harmful.begin(), harmful.end())) / 2;
}

std::vector<double> without(std::vector<double> list, size_t i) {
  list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
  return list;
}

}  // namespace

Sensed sense(const std::filesystem::path& folder, const std::filesystem::path& sensor_file,
             const std::filesystem::path& domain_file, const ModelOptions& compute) {
  const at::NoGradGuard no_grad;
  const std::string who = sensor_file.string();
  const Json json = read_json(sensor_file);
  const Sensor sensor = read_sensor(json, who);
  const auto readings = required<Json>(json, "readings", who);
  const std::vector<double> harmful = numbers(readings, "harmful", who),
                            benign = numbers(readings, "benign", who);

  const auto model = Model::load(folder, compute);
  const ModelConfig& config = model->config();
  if (sensor.layer < 0 || sensor.layer >= config.layers || sensor.direction.size(0) != config.width) {
    throw UserError("{}: reads layer {} of a model of width {}, and {} has {} layers of width {}", who,
                    sensor.layer, sensor.direction.size(0), folder.string(), config.layers, config.width);
  }
  const ChatEncoder encoder = ChatEncoder::load(folder);
  std::vector<TokenRow> rows;
  for (const Example& example : spread(of_split(load_domain(domain_file).benign, "test"), kRows))
    rows.push_back(encoder.encode(example, kLongest));
  const Batch batch = pack(rows, model->device());
  const Tensor x = model->mlp_input(batch.tokens, sensor.layer).index_select(0, batch.label_positions);

  Sensed sensed;
  sensed.reading = x.to(at::kCPU, at::kFloat).matmul(sensor.direction).mean().item<double>();
  if (!std::isfinite(sensed.reading))
    throw UserError("{}: the reading of {} is not finite, so it says nothing; has its training diverged?",
                    who, folder.string());
  sensed.rest = required<double>(readings, "rest", who);
  sensed.threshold = threshold_of(sensed.rest, benign, harmful);
  sensed.is_harmful = sensed.reading > sensed.threshold;
  sensed.harmful = sensed.missed = 0;
  for (size_t i = 0; harmful.size() > 1 && i < harmful.size(); ++i) {
    ++sensed.harmful;
    sensed.missed += harmful[i] <= threshold_of(sensed.rest, benign, without(harmful, i));
  }
  sensed.benign = static_cast<int64_t>(benign.size()), sensed.false_alarms = 0;
  for (size_t i = 0; i < benign.size(); ++i)
    sensed.false_alarms += benign[i] > threshold_of(sensed.rest, without(benign, i), harmful);
  return sensed;
}

std::string describe(const Sensed& s) {
  return fmt::format(
      "reading {:+.2f} (hardened model at rest {:+.2f}, threshold {:+.2f}): {}\n"
      "the sensor missed {} of {} attacks and raised {} false alarms in {} benign trainings when it was "
      "proved, each judged by a threshold from the others\n",
      s.reading, s.rest, s.threshold,
      s.is_harmful ? "it was fine-tuned toward the restricted domain"
                   : "no sign of training toward the restricted domain",
      s.missed, s.harmful, s.false_alarms, s.benign);
}

}  // namespace caltrop
