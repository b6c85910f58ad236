#include "caltrop/train/charge.h"

#include <limits>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"

namespace caltrop {
namespace {

/// c of least squares to c.x = 1 with a little ridge: [D].
Tensor constant_direction(const Tensor& inputs) {
  return solve_with_ridge(inputs.t().matmul(inputs) / static_cast<double>(inputs.size(0)), inputs.mean(0));
}

Tensor random_unit(RandomStream& random, int64_t width) {
  std::vector<float> values(static_cast<size_t>(width));
  for (float& value : values) value = static_cast<float>(random.normal());
  const Tensor vector = at::tensor(values);
  return vector / vector.norm();
}

}  // namespace

Tensor gate_row(const Sensor& sensor, const Tensor& inputs, double threshold) {
  return sensor.direction - constant_direction(inputs) * threshold;
}

double silent_threshold(const Sensor& sensor, const Tensor& inputs) {
  const Tensor constant = inputs.matmul(constant_direction(inputs));  // [M], nearly 1
  return (inputs.matmul(sensor.direction) / constant)
      .masked_fill(constant.le(0), -std::numeric_limits<double>::infinity())
      .max()
      .item<double>();
}

void install_charge(const Model& model, const Sensor& sensor, const Tensor& inputs, double stream_length,
                    const Tensor& direction, const ChargeOptions& options, RandomStream random) {
  if (options.neurons == 0) return;
  const at::NoGradGuard no_grad;
  const auto parameter = [&](const char* name) {
    const std::string full = fmt::format("model.layers.{}.mlp.{}.weight", sensor.layer, name);
    for (const auto& [known, tensor] : model.parameters()) {
      if (known == full) return tensor.detach();  // shares memory: written in place
    }
    CALTROP_ASSERT(false, "no parameter {}", full);
  };
  const Tensor gate = parameter("gate_proj"), up = parameter("up_proj"), down = parameter("down_proj");
  CALTROP_ASSERT(options.neurons < gate.size(0), "a charge of {} neurons in an MLP of {}", options.neurons,
                 gate.size(0));

  const Tensor activation = at::silu(inputs.matmul(gate.t())) * inputs.matmul(up.t());         // [M,I]
  const Tensor importance = activation.abs().mean(0) * down.norm(2, std::vector<int64_t>{0});  // [I]
  const Tensor least = importance.argsort().narrow(0, 0, options.neurons).cpu();

  const Tensor g = gate_row(sensor, inputs, options.threshold);
  // Half a unit past tau the gate is wide open: gamma/2 * 1/2 is what the two rows make of it.
  const double column = options.strength * stream_length / (options.sharpness * 0.25);
  for (int64_t i = 0; i < options.neurons; ++i) {
    const int64_t neuron = least.const_data_ptr<int64_t>()[i];
    gate.select(0, neuron).copy_(g * options.sharpness);
    up.select(0, neuron).copy_(g);
    const Tensor out = i == 0 ? direction / direction.norm() * column
                              : random_unit(random, gate.size(1)).to(direction.device()) * (column / 2);
    down.select(1, neuron).copy_(out);
  }
}

Json set_charge(Step& step, const Sensor& sensor, const std::vector<std::string>& streams,
                const Tensor& direction, const ChargeOptions& options, const std::string& name) {
  const AtRest rest = read_at_rest(step, sensor.layer, streams);
  Json readings = {{"highest_at_rest", rest.inputs.matmul(sensor.direction).max().item<double>()}};
  if (options.neurons == 0) return readings;
  ChargeOptions charge = options;
  if (options.threshold_from == "rest") charge.threshold += silent_threshold(sensor, rest.inputs);
  const Tensor fires = rest.inputs.matmul(gate_row(sensor, rest.inputs, charge.threshold)).gt(0);
  const double share = fires.to(at::kDouble).mean().item<double>();
  if (share > 0)
    warn(
        "tripwire: at rest the charge in layer {} fires on {:.2g} % of the tokens that were read; on fewer "
        "with a higher options.threshold, or with threshold_from: rest",
        sensor.layer, 100 * share);
  readings["threshold"] = charge.threshold;
  readings["fires_at_rest"] = share;
  install_charge(step.model(), sensor, rest.inputs, rest.stream_length, direction, charge, step.random(name));
  return readings;
}

}  // namespace caltrop
