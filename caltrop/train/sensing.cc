#include "caltrop/train/sensing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/elementwise.h"
#include "caltrop/train/rewire.h"

namespace caltrop {
namespace {

constexpr int64_t kDraws = 4;  // batches that are read for one number

/// What the MLP of a layer reads over rows of `stream` that belong to `name`, at the weights as they stand.
MlpInputs read(Step& step, const std::string& name, const std::string& stream, int64_t layer) {
  std::vector<Tensor> answers, prompts;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    Step rows = step.fresh(fmt::format("{} {}", name, draw), {stream});
    const MlpInputs inputs = rows.mlp_inputs(stream, layer);
    answers.push_back(inputs.answers), prompts.push_back(inputs.prompts);
  }
  return {at::cat(answers), at::cat(prompts)};
}

/// [N]: of answers of "general", on the same rows at each call.
Tensor readings_of_general(Step& step, const Sensor& sensor) {
  return read(step, "reading", "general", sensor.layer).answers.matmul(sensor.direction);
}

std::vector<Sensor> by_layer(std::vector<Sensor> sensors, const std::string& who) {
  std::sort(sensors.begin(), sensors.end(),
            [](const Sensor& a, const Sensor& b) { return a.layer < b.layer; });
  for (size_t i = 1; i < sensors.size(); ++i) {
    if (sensors[i].layer == sensors[i - 1].layer)
      throw UserError("{}: two sensors in layer {}; want one a layer", who, sensors[i].layer);
  }
  return sensors;
}

}  // namespace

Tensor fit_sensor(Step& step, const Displacements& displacements, int64_t layer, Wants want) {
  std::vector<Tensor> open, closed;
  const auto take = [&](const char* stream, Want answers, Want prompts) {
    const MlpInputs inputs = read(step, "fit", stream, layer);
    (answers == Want::kOpen ? open : closed).push_back(inputs.answers);
    (prompts == Want::kOpen ? open : closed).push_back(inputs.prompts);
  };
  take("general", Want::kClosed, Want::kClosed);
  take("harmful", want.restricted_at_rest, Want::kClosed);
  take("refusals", Want::kClosed, Want::kClosed);
  for (const Rehearsed& attack : displacements.attacks()) {
    const Nudge attacked(step.model(), attack.moved, 1.0);
    take("general", Want::kOpen, want.prompts);
    take("harmful", want.restricted, want.restricted == Want::kOpen ? want.prompts : Want::kClosed);
  }
  for (const Rehearsed& training : displacements.trainings()) {
    const Nudge trained(step.model(), training.moved, 1.0);
    take("general", Want::kClosed, Want::kClosed);
  }
  return fit_direction(at::cat(open), at::cat(closed));
}

double mean_reading(Step& step, const Sensor& sensor) {
  return readings_of_general(step, sensor).mean().item<double>();
}

std::vector<Json> prove_sensors(Step& step, const std::vector<Sensor>& sensors,
                                const DisplacementOptions& options, int64_t count,
                                const Reinforcement& reinforcement) {
  const std::vector<double> shares = {0.01, 0.1, 0.5, 0.9, 0.99, 0.999};
  const auto quantiles = [&](const Tensor& z) {
    const Tensor all = z.quantile(at::tensor(shares, z.options())).cpu();
    return std::vector<float>(all.const_data_ptr<float>(), all.const_data_ptr<float>() + all.numel());
  };
  std::vector<Json> readings;
  for (const Sensor& sensor : sensors) {
    const Tensor rest = readings_of_general(step, sensor);
    readings.push_back({{"rest", rest.mean().item<double>()},
                        {"harmful", Json::array()},
                        {"benign", Json::array()},
                        {"quantiles",
                         {{"at", shares},
                          {"rest", quantiles(rest)},
                          {"harmful", Json::array()},
                          {"benign", Json::array()}}}});
  }
  const auto after = [&](const std::string& list, int64_t i, Arm arm) {
    const Gradients moved =
        rehearse(step, fmt::format("proof, {} {}", list, i), arm, options, reinforcement).moved;
    const Nudge there(step.model(), moved, 1.0);
    for (size_t k = 0; k < sensors.size(); ++k) {
      const Tensor z = readings_of_general(step, sensors[k]);
      readings[k][list].push_back(z.mean().item<double>());
      readings[k]["quantiles"][list].push_back(quantiles(z));
    }
  };
  for (int64_t i = 0; i < count; ++i) {
    after("harmful", i, Arm::kAttack);
    after("benign", i, Arm::kTraining);
  }
  return readings;
}

AtRest read_at_rest(Step& step, int64_t layer, const std::vector<std::string>& streams) {
  std::vector<Tensor> inputs, lengths;
  const auto here = static_cast<size_t>(layer);
  const bool is_last = layer + 1 == step.model().config().layers;  // the state behind it is normed already
  LossFn length;
  length.needs_states = true, length.needs_mlp_outputs = is_last;
  length.total = [&](const LossInputs& in) {
    const Tensor behind = is_last ? in.states[here] + in.mlp_outputs[here] : in.states[here + 1];
    lengths.push_back(behind.to(at::kFloat).norm(2, -1));
    return Total{lengths.back().sum(), lengths.back().size(0)};
  };
  for (const std::string& stream : streams) {
    const MlpInputs of_stream = read(step, "at rest", stream, layer);
    inputs.push_back(of_stream.answers), inputs.push_back(of_stream.prompts);
    Step rows = step.fresh("stream lengths", {stream});
    rows.measure_loss(stream, length);
  }
  return {at::cat(inputs), at::cat(lengths).median().item<double>()};
}

NextLayerAtRest read_next_layer(Step& step, int64_t layer, const std::vector<std::string>& streams) {
  const Model& model = step.model();
  const Tensor norm =
      layer_weight(model, layer + 1, "input_layernorm");  // fp32, as the rows that will be fitted
  std::vector<Tensor> attention, mlp;
  for (const std::string& stream : streams) {
    for (int64_t draw = 0; draw < kDraws; ++draw) {
      Step rows = step.fresh(fmt::format("at rest {}", draw), {stream});
      const MlpInputs of_mlp = rows.mlp_inputs(stream, layer + 1);
      mlp.push_back(of_mlp.answers), mlp.push_back(of_mlp.prompts);
      const at::NoGradGuard no_grad;
      attention.push_back(
          rms_norm(rows.residual_stream(stream, layer + 1), norm, model.config().norm_epsilon));
    }
  }
  return {at::cat(attention), at::cat(mlp)};
}

std::vector<Sensor> sensors_at(const std::vector<int64_t>& layers, const Model& model,
                               const std::string& who) {
  const int64_t there = model.config().layers;
  if (layers.empty()) throw UserError("{}: option 'layers' is [], want at least one number", who);
  std::vector<Sensor> sensors;
  for (const int64_t layer : layers) {
    if (layer >= there)
      throw UserError("{}: option 'layers' holds {}, and the model has {}", who, layer, there);
    sensors.push_back({layer < 0 ? there * 2 / 3 : layer, {}});
  }
  return by_layer(std::move(sensors), who);
}

std::vector<Sensor> read_sensors(const std::vector<std::string>& files, const Model& model,
                                 const std::string& who) {
  const ModelConfig& config = model.config();
  std::vector<Sensor> sensors;
  for (const std::string& file : files) {
    const Sensor sensor = read_sensor(read_json(file), file);
    if (sensor.layer < 0 || sensor.layer >= config.layers || sensor.direction.size(0) != config.width)
      throw UserError("{}: {} reads {} numbers of layer {}, but the model has {} layers of {}", who, file,
                      sensor.direction.size(0), sensor.layer, config.layers, config.width);
    sensors.push_back({sensor.layer, sensor.direction.to(model.device())});
  }
  return by_layer(std::move(sensors), who);
}

Json write_sensor(const Sensor& sensor, const Json& readings) {
  Json json = {{"format", 1}, {"layer", sensor.layer}, {"readings", readings}, {"direction", Json::array()}};
  const Tensor w = sensor.direction.to(at::kFloat).cpu().contiguous();
  for (int64_t i = 0; i < w.size(0); ++i) json["direction"].push_back(w.const_data_ptr<float>()[i]);
  return json;
}

Sensor read_sensor(const Json& json, const std::string& who) {
  Sensor sensor;
  sensor.layer = required<int64_t>(json, "layer", who);
  const Json direction = required<Json>(json, "direction", who);
  std::vector<float> values;
  for (const Json& value : direction) {
    if (!value.is_number()) throw UserError("{}: 'direction' holds {}, want numbers", who, to_line(value));
    const auto number = value.get<double>();
    if (!(std::abs(number) <= std::numeric_limits<float>::max()))
      throw UserError("{}: 'direction' holds {}, want numbers within fp32", who, to_line(value));
    values.push_back(static_cast<float>(number));
  }
  if (values.empty()) throw UserError("{}: 'direction' is empty", who);
  sensor.direction = at::tensor(values, at::kFloat);
  return sensor;
}

}  // namespace caltrop
