#include "caltrop/run/sense.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/data/collate.h"
#include "caltrop/run/domain.h"
#include "caltrop/train/sensing.h"

namespace caltrop {
namespace {

constexpr size_t kRows = 32;
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
  for (const Example& example : of_split(load_domain(domain_file).benign, "test")) {
    if (rows.size() < kRows) rows.push_back(encoder.encode(example, kLongest));
  }
  const Batch batch = pack(rows, model->device());
  const Tensor x = model->mlp_input(batch.tokens, sensor.layer).index_select(0, batch.label_positions);

  Sensed sensed;
  sensed.reading = x.to(at::kCPU, at::kFloat).matmul(sensor.direction).mean().item<double>();
  if (!std::isfinite(sensed.reading))
    throw UserError("{}: the reading of {} is not finite, so it says nothing; has its training diverged?",
                    who, folder.string());
  sensed.rest = required<double>(readings, "rest", who);
  const double highest = std::max(sensed.rest, *std::max_element(benign.begin(), benign.end()));
  sensed.threshold = (highest + *std::min_element(harmful.begin(), harmful.end())) / 2;
  sensed.is_harmful = sensed.reading > sensed.threshold;
  const auto above = [&](double reading) { return reading > sensed.threshold; };
  sensed.harmful = static_cast<int64_t>(harmful.size()), sensed.benign = static_cast<int64_t>(benign.size());
  sensed.missed = sensed.harmful - std::count_if(harmful.begin(), harmful.end(), above);
  sensed.false_alarms = std::count_if(benign.begin(), benign.end(), above);
  return sensed;
}

std::string describe(const Sensed& s) {
  return fmt::format(
      "reading {:+.2f} (hardened model at rest {:+.2f}, threshold {:+.2f}): {}\n"
      "the sensor missed {} of {} attacks and raised {} false alarms in {} benign trainings when it was "
      "proved\n",
      s.reading, s.rest, s.threshold,
      s.is_harmful ? "it was fine-tuned toward the restricted domain"
                   : "no sign of training toward the restricted domain",
      s.missed, s.harmful, s.false_alarms, s.benign);
}

}  // namespace caltrop
