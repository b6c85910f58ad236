// A charge: a few neurons of one MLP, rewired so that they do nothing while a sensor is closed and flood the residual stream
// once it opens. The model keeps its shape; only weights change. Tested by tests/train/charge_test.cc.
#pragma once

#include "caltrop/base/fields.h"
#include "caltrop/base/random.h"
#include "caltrop/loss/sensor.h"
#include "caltrop/train/sensing.h"

namespace caltrop {

struct ChargeOptions {
  int64_t neurons = 8;
  double threshold = 0.4;
  double sharpness = 20;
  double strength = 6;
  std::string threshold_from = "zero";
  double vote = 0, vote_ramp = 1;

  static auto fields() {
    using O = ChargeOptions;
    return std::tuple{
        field("neurons", &O::neurons, 0, 1e6,
              "neurons that the charge takes, the least used ones; 0: no charge"),
        field("threshold", &O::threshold, -10, 10, "tau: reading from which the charge opens"),
        field("sharpness", &O::sharpness, 1e-3, 1e6, "gamma: slope of its gate"),
        field("strength", &O::strength, 0, 1e30,
              "what it adds half a unit past tau, in lengths of the residual stream"),
        field("threshold_from", &O::threshold_from, {"zero", "rest"},
              "rest: tau counts from the lowest at which the charge is silent at rest"),
        field("vote", &O::vote, 0, 1,
              "share of the tokens so far that must be past tau before the charge opens, for all "
              "of them: a head of the next layer counts; 0: each token for itself"),
        field("vote_ramp", &O::vote_ramp, 1e-2, 1e2,
              "how far past tau a vote is whole; before, it is a part")};
  }
};

/// c of least squares to c.x = 1 over `inputs` [M,D], with a little ridge: what stands for a bias, which there is not. [D].
Tensor constant_direction(const Tensor& inputs);

/// What the gate of a charge reads: g = w - tau c, [D]. It opens where g.x > 0, which is where z = w.x exceeds tau but for what c.x lacks
/// of 1. `inputs`: what the MLP reads at rest, [M,D].
Tensor gate_row(const Sensor& sensor, const Tensor& inputs, double threshold);

/// The lowest tau that leaves the gate shut on `inputs`: the highest w.x / c.x. Tokens with c.x <= 0 do not count: a higher tau opens them.
double silent_threshold(const Sensor& sensor, const Tensor& inputs);

/// Rewires the least used neurons of a layer's MLP (train/rewire.h). With x what the MLP reads and g = `gate`, [D]:
///
///   neuron(x) = silu(gamma g.x) * (g.x) * u        u: the first neuron's is `direction`, the others' are random, of half its length
///
/// so that g.x below 0 leaves silu shut: no effect and no gradient. `inputs`: what the MLP reads at rest, [M,D]; `stream_length`: the
/// usual length of the residual stream behind the layer. Changes the weights in place. REQUIRES fewer neurons than the layer has.
void install_charge(const Model& model, int64_t layer, const Tensor& gate, const Tensor& inputs,
                    double stream_length, const Tensor& direction, const ChargeOptions& options,
                    RandomStream random);

/// Reads the rows of `streams` at rest, counts the threshold as the options say, and installs the charge in the sensor's layer, or behind
/// a vote (train/vote.h) in the next: {"highest_at_rest": the highest reading there, "threshold": tau, "fires_at_rest": the share of the
/// tokens read on which the charge opens, "vote": {"head", "coordinate"}, if there is one}; without neurons the first alone. `name`: its
/// random numbers are drawn under this name. REQUIRES a next layer, for a vote.
Json set_charge(Step& step, const Sensor& sensor, const std::vector<std::string>& streams,
                const Tensor& direction, const ChargeOptions& options, const std::string& name);

}  // namespace caltrop
