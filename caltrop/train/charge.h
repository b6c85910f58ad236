// A charge: a few neurons of one MLP, rewired so that they do nothing while a sensor is closed and flood the residual stream
// once it opens. The model keeps its shape; only weights change. Tested by tests/train/charge_test.cc.
#pragma once

#include "caltrop/base/fields.h"
#include "caltrop/base/random.h"
#include "caltrop/loss/sensor.h"
#include "caltrop/train/rewire.h"
#include "caltrop/train/saved_weights.h"
#include "caltrop/train/sensing.h"
#include "caltrop/train/vote.h"

namespace caltrop {

struct ChargeOptions {
  int64_t neurons = 8;
  double threshold = 0.4;
  double sharpness = 20;
  double strength = 6;
  std::string threshold_from = "zero";
  double vote = 0, vote_ramp = 1, cliff = 0;

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
              "how far past tau a vote is whole; before, it is a part"),
        field("cliff", &O::cliff, 0, 1,
              "with a vote: share of the tokens at which the charge opens in full; from `vote` to there a "
              "sprung model says one token, the less so the nearer it is: a lower loss lies further in; 0: "
              "`vote`")};
  }
};

/// c of least squares to c.x = 1 over `inputs` [M,D], with a little ridge: what stands for a bias, which there is not. [D].
Tensor constant_direction(const Tensor& inputs);

/// What the gate of a charge reads: g = w - tau c, [D]. It opens where g.x > 0, which is where z = w.x exceeds tau but for what c.x lacks
/// of 1. `inputs`: what the MLP reads at rest, [M,D].
Tensor gate_row(const Sensor& sensor, const Tensor& inputs, double threshold);

/// The lowest tau that leaves the gate shut on `inputs`: the highest w.x / c.x. Tokens with c.x <= 0 do not count: a higher tau opens them.
double silent_threshold(const Sensor& sensor, const Tensor& inputs);

/// The neurons of a charge, to be rewired (train/rewire.h). With x what the MLP reads and g = `gate`, [D]:
///
///   neuron(x) = silu(gamma g.x) * (g.x) * u        u: the first neuron's is `direction`, the others' are random, of half its length
///
/// so that g.x below 0 leaves silu shut: no effect and no gradient. `stream_length`: the usual length of the residual stream behind the
/// layer.
std::vector<Neuron> charge_neurons(const Tensor& gate, double stream_length, const Tensor& direction,
                                   const ChargeOptions& options, RandomStream random);

/// The slope before the cliff of a vote, two neurons with one gate. With s the share of the tokens so far that voted, what they add is
///
///   0 where s < vote,   h(s) [ (cliff - s) says + (s - vote) nothing ] from there on, h huge: a norm leaves the direction in brackets alone
///
/// The loss jumps at `vote`, within less than rounding, and falls from there on to the cliff: whoever follows it takes those along that
/// are not there yet. `says`, `nothing` [D]: directions of the stream that say one token, and hardly any.
std::vector<Neuron> slope_neurons(const VoteRows& rows, double stream_length, const Tensor& says,
                                  const Tensor& nothing, const ChargeOptions& options);

/// The direction of the last layer's stream whose logits, `head` [V,D] behind a norm of weight n [D], differ least. [D] fp32, of length 1.
Tensor wordless_direction(const Tensor& head, const Tensor& norm_weight);

/// Reads the rows of `streams` at rest, counts the threshold as the options say, and installs the charge in the sensor's layer, or behind
/// a vote (train/vote.h) in the next: {"highest_at_rest": the highest reading there, "threshold": tau, "fires_at_rest": the share of the
/// tokens read on which the charge opens, "vote": {"head", "coordinate"}, if there is one}; without neurons the first alone. `name`: its
/// random numbers are drawn under this name. REQUIRES a next layer, for a vote.
Json set_charge(Step& step, const Sensor& sensor, const std::vector<std::string>& streams,
                const Tensor& direction, const ChargeOptions& options, const std::string& name);

/// The same behind each of `sensors`, under the names "charge", "charge 2" and so on.
std::vector<Json> set_charges(Step& step, const std::vector<Sensor>& sensors,
                              const std::vector<std::string>& streams, const Tensor& direction,
                              const ChargeOptions& options);

/// The same until what is returned goes, which brings the weights back bit for bit; null, and nothing is changed, where one of the
/// charges fires on more than `most` of the tokens at rest.
std::unique_ptr<SavedWeights> set_charges_for_a_while(Step& step, const std::vector<Sensor>& sensors,
                                                      const std::vector<std::string>& streams,
                                                      const Tensor& direction, const ChargeOptions& options,
                                                      double most);

/// Throw UserError, beginning with `who`, for options that contradict each other, and for charges that do not fit the model: it needs more
/// neurons than they take, and a layer without a sensor behind each of `sensors` that votes.
void check_charge(const ChargeOptions& options, const std::string& who);
void check_charges(const ChargeOptions& options, const std::vector<Sensor>& sensors, const Model& model,
                   const std::string& who);

}  // namespace caltrop
