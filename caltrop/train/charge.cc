#include "caltrop/train/charge.h"

#include <limits>

#include <ATen/ATen.h>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

Tensor random_unit(RandomStream& random, int64_t width) {
  std::vector<float> values(static_cast<size_t>(width));
  for (float& value : values) value = static_cast<float>(random.normal());
  const Tensor vector = at::tensor(values);
  return vector / vector.norm();
}

// Of a slope: lengths of the stream that it adds for each unit that its gate reads, and the parts of them that its gates and its up rows
// make. AdamW moves every weight by its rate a step: with rows and columns as large as these no training gets far.
constexpr double kFlood = 1e9, kFloodGate = 1e6, kFloodUp = 1e3;

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

std::vector<Neuron> charge_neurons(const Tensor& gate, double stream_length, const Tensor& direction,
                                   const ChargeOptions& options, RandomStream random) {
  std::vector<Neuron> neurons;
  // Half a unit past tau the gate is wide open: gamma/2 * 1/2 is what the two rows make of it.
  const double length = options.strength * stream_length / (options.sharpness * 0.25);
  const Tensor slope = gate * options.sharpness;
  for (int64_t i = 0; i < options.neurons; ++i) {
    neurons.push_back({slope, gate,
                       i == 0
                           ? direction / direction.norm() * length
                           : random_unit(random, direction.size(0)).to(direction.device()) * (length / 2)});
  }
  return neurons;
}

std::vector<Neuron> slope_neurons(const VoteRows& rows, double stream_length, const Tensor& says,
                                  const Tensor& nothing, const ChargeOptions& options) {
  const Tensor gate = rows.gate(options.vote) * kFloodGate;
  const double column = kFlood * stream_length / (kFloodGate * kFloodUp);
  const auto neuron = [&](const Tensor& up, const Tensor& direction) {
    return Neuron{gate, up * (kFloodUp / (options.cliff - options.vote)),
                  direction / direction.norm() * column};
  };
  return {neuron(rows.unit * options.cliff - rows.count, says),
          neuron(rows.count - rows.unit * options.vote, nothing)};
}

Tensor wordless_direction(const Tensor& head, const Tensor& norm_weight) {
  const Tensor rows = head.to(at::kDouble);
  const Tensor centred = (rows - rows.mean(0)) * norm_weight.to(at::kDouble);
  return std::get<1>(at::linalg_eigh(centred.t().matmul(centred))).select(1, 0).to(at::kFloat).contiguous();
}

Json set_charge(Step& step, const Sensor& sensor, const std::vector<std::string>& streams,
                const Tensor& direction, const ChargeOptions& options, const std::string& name) {
  const AtRest rest = read_at_rest(step, sensor.layer, streams);
  Json readings = {{"highest_at_rest", rest.inputs.matmul(sensor.direction).max().item<double>()}};
  if (options.neurons == 0) return readings;
  ChargeOptions charge = options;
  if (options.threshold_from == "rest") charge.threshold += silent_threshold(sensor, rest.inputs);
  const Model& model = step.model();
  int64_t layer = sensor.layer;
  Tensor inputs = rest.inputs, opens = gate_row(sensor, rest.inputs, charge.threshold), cliff = opens;
  std::vector<Neuron> neurons;
  if (options.vote > 0) {
    const NextLayerAtRest next = read_next_layer(step, sensor.layer, streams);
    const VotePlace place = least_used_head(step, layer + 1, next.attention_inputs);
    const VoteRows rows =
        install_vote(model, layer, opens, constant_direction(inputs), inputs, rest.stream_length, next, place,
                     {.share = options.vote, .ramp = options.vote_ramp});
    layer = sensor.layer + 1, inputs = next.mlp_inputs;
    opens = cliff = rows.gate(options.vote);
    if (options.cliff > 0) {
      neurons = slope_neurons(
          rows, rest.stream_length, direction,
          wordless_direction(model.head().detach(), model.weight("model.norm.weight").detach()), charge);
      cliff = rows.gate(options.cliff);
    }
    readings["vote"] = {{"head", place.head}, {"coordinate", place.coordinate}};
  }
  readings["threshold"] = charge.threshold;
  readings["fires_at_rest"] = inputs.matmul(opens).gt(0).to(at::kDouble).mean().item<double>();
  for (Neuron& neuron : charge_neurons(cliff, rest.stream_length, direction, charge, step.random(name)))
    neurons.push_back(std::move(neuron));
  rewire_neurons(model, layer, inputs, neurons);
  return readings;
}

std::vector<Json> set_charges(Step& step, const std::vector<Sensor>& sensors,
                              const std::vector<std::string>& streams, const Tensor& direction,
                              const ChargeOptions& options) {
  std::vector<Json> readings;
  for (size_t i = 0; i < sensors.size(); ++i) {
    readings.push_back(set_charge(step, sensors[i], streams, direction, options,
                                  i == 0 ? "charge" : fmt::format("charge {}", i + 1)));
  }
  return readings;
}

std::unique_ptr<SavedWeights> set_charges_for_a_while(Step& step, const std::vector<Sensor>& sensors,
                                                      const std::vector<std::string>& streams,
                                                      const Tensor& direction, const ChargeOptions& options,
                                                      double most) {
  auto before = std::make_unique<SavedWeights>(step.model());
  for (const Json& reading : set_charges(step, sensors, streams, direction, options)) {
    if (reading.at("fires_at_rest").get<double>() > most) return nullptr;
  }
  return before;
}

void check_charge(const ChargeOptions& options, const std::string& who) {
  if (options.cliff == 0) return;
  if (options.vote == 0)
    throw UserError(
        "{}: option 'cliff' is {}, and vote 0: it is a share of the tokens that voted; want a vote, or "
        "cliff 0",
        who, options.cliff);
  if (options.cliff <= options.vote)
    throw UserError("{}: option 'cliff' is {}, and vote {}; want cliff above vote, or 0", who, options.cliff,
                    options.vote);
}

void check_charges(const ChargeOptions& options, const std::vector<Sensor>& sensors, const Model& model,
                   const std::string& who) {
  const int64_t of_slope = options.cliff > 0 ? 2 : 0;
  if (options.neurons + of_slope >= model.config().inner_width)
    throw UserError("{}: option 'neurons' is {}, and an MLP of the model has {}; want fewer", who,
                    options.neurons, model.config().inner_width);
  if (options.vote == 0) return;
  const int64_t layers = model.config().layers;
  for (size_t i = 0; i < sensors.size(); ++i) {
    const int64_t counts = sensors[i].layer + 1;
    if (counts == layers)
      throw UserError(
          "{}: option 'vote' is {}, and layer {} of a sensor is the last: its votes are counted in the next; "
          "want options.layers below {}, or vote 0",
          who, options.vote, counts - 1, layers - 1);
    if (i + 1 < sensors.size() && sensors[i + 1].layer == counts)
      throw UserError(
          "{}: option 'vote' is {}, and layers {} and {} have a sensor each: the votes of the one are "
          "counted where the other is; want layers at least two apart, or vote 0",
          who, options.vote, counts - 1, counts);
  }
}

}  // namespace caltrop
