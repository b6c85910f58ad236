#include "caltrop/train/charge.h"

#include <limits>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/train/rewire.h"
#include "caltrop/train/vote.h"

namespace caltrop {
namespace {

Tensor random_unit(RandomStream& random, int64_t width) {
  std::vector<float> values(static_cast<size_t>(width));
  for (float& value : values) value = static_cast<float>(random.normal());
  const Tensor vector = at::tensor(values);
  return vector / vector.norm();
}

}  // namespace

Tensor constant_direction(const Tensor& inputs) {
  return solve_with_ridge(inputs.t().matmul(inputs) / static_cast<double>(inputs.size(0)), inputs.mean(0));
}

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

void install_charge(const Model& model, int64_t layer, const Tensor& gate, const Tensor& inputs,
                    double stream_length, const Tensor& direction, const ChargeOptions& options,
                    RandomStream random) {
  if (options.neurons == 0) return;
  // Half a unit past tau the gate is wide open: gamma/2 * 1/2 is what the two rows make of it.
  const double length = options.strength * stream_length / (options.sharpness * 0.25);
  const Tensor slope = gate * options.sharpness;
  std::vector<Neuron> neurons{{slope, gate, direction / direction.norm() * length}};
  while (static_cast<int64_t>(neurons.size()) < options.neurons)
    neurons.push_back(
        {slope, gate, random_unit(random, direction.size(0)).to(direction.device()) * (length / 2)});
  rewire_neurons(model, layer, inputs, neurons);
}

Json set_charge(Step& step, const Sensor& sensor, const std::vector<std::string>& streams,
                const Tensor& direction, const ChargeOptions& options, const std::string& name) {
  const AtRest rest = read_at_rest(step, sensor.layer, streams);
  Json readings = {{"highest_at_rest", rest.inputs.matmul(sensor.direction).max().item<double>()}};
  if (options.neurons == 0) return readings;
  ChargeOptions charge = options;
  if (options.threshold_from == "rest") charge.threshold += silent_threshold(sensor, rest.inputs);
  int64_t layer = sensor.layer;
  Tensor inputs = rest.inputs, gate = gate_row(sensor, rest.inputs, charge.threshold);
  if (options.vote > 0) {
    const NextLayerAtRest next = read_next_layer(step, sensor.layer, streams);
    const VotePlace place = least_used_head(step, layer + 1, next.attention_inputs);
    gate = install_vote(step.model(), layer, gate, constant_direction(inputs), inputs, rest.stream_length,
                        next, place, {.share = options.vote, .ramp = options.vote_ramp});
    layer = sensor.layer + 1, inputs = next.mlp_inputs;
    readings["vote"] = {{"head", place.head}, {"coordinate", place.coordinate}};
  }
  const double share = inputs.matmul(gate).gt(0).to(at::kDouble).mean().item<double>();
  readings["threshold"] = charge.threshold;
  readings["fires_at_rest"] = share;
  install_charge(step.model(), layer, gate, inputs, rest.stream_length, direction, charge, step.random(name));
  return readings;
}

}  // namespace caltrop
