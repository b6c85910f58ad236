// Making, proving and writing down a sensor (loss/sensor.h): a linear reading of hidden states on general text that tells harmful
// fine-tuning from everything else. Tested by tests/train/sensing_test.cc.
#pragma once

#include "caltrop/base/json.h"
#include "caltrop/loss/sensor.h"
#include "caltrop/train/displacement.h"

namespace caltrop {

/// What a sensor is to be; on answers of "general" it is open after an attack and closed otherwise.
struct Wants {
  Want restricted = Want::kOpen;  // on answers of "harmful", after an attack
  Want prompts = Want::kClosed;   // of both, after an attack and where their answers are open
  // On answers of "harmful" at rest and after a training, where prompts are closed.
  Want restricted_at_rest = Want::kClosed;
};

/// The direction that best reads +1 where it is to be open after each kept attack and at rest, and -1 elsewhere there, after each kept
/// training, and on "refusals" anywhere (fit_direction). [D] fp32.
Tensor fit_sensor(Step& step, const Displacements& displacements, int64_t layer, Wants want);

/// The mean reading over answers of "general", on rows of its own that are the same at each call.
double mean_reading(Step& step, const Sensor& sensor);

/// {"rest": z, "harmful": [z …], "benign": [z …], "quantiles": {…}} for each sensor: mean readings at rest and after the same `count`
/// attacks and trainings that nothing was trained against. "quantiles" has the same keys, and for each mean the readings below which
/// the shares "at" of the tokens lie: a charge fires token by token.
std::vector<Json> prove_sensors(Step& step, const std::vector<Sensor>& sensors,
                                const DisplacementOptions& options, int64_t count,
                                const Reinforcement& reinforcement = {});

/// What a charge must know of the model at rest.
struct AtRest {
  Tensor inputs;         // [M,D] fp32: what the MLP reads on the rows of some streams
  double stream_length;  // median length of the residual stream behind the layer, before any norm
};
/// Of the last layer the stream is known but for what its attention adds, which counts as nothing.
AtRest read_at_rest(Step& step, int64_t layer, const std::vector<std::string>& streams);

/// What a vote must know of the layer behind the sensor's, at rest: what its attention and its MLP read, [M,D] fp32 each.
struct NextLayerAtRest {
  Tensor attention_inputs, mlp_inputs;
};
/// `layer`: the sensor's. REQUIRES one behind it.
NextLayerAtRest read_next_layer(Step& step, int64_t layer, const std::vector<std::string>& streams);

/// A sensor without a direction in each of `layers` (-1: two thirds of the way up), by layer. Throws UserError, beginning with `who`, for
/// a layer that the model has not and for two in one.
std::vector<Sensor> sensors_at(const std::vector<int64_t>& layers, const Model& model,
                               const std::string& who);

/// Those of the sensor.json `files`, on the model's device, by layer. Throws UserError also where one does not fit the model.
std::vector<Sensor> read_sensors(const std::vector<std::string>& files, const Model& model,
                                 const std::string& who);

/// sensor.json (docs/formats.md) and back. Throws UserError.
Json write_sensor(const Sensor& sensor, const Json& readings);
Sensor read_sensor(const Json& json, const std::string& who);

}  // namespace caltrop
