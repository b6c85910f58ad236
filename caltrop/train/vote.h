// A vote: one attention head counts on how many of the tokens so far a sensor is open, so that a charge in the layer behind opens
// for all of them or for none. A token that is still below the threshold has a gradient, and a few of them lead an attacker out again; a
// single one above it would derail an honest user's answer. In a model of the Llama family it is a matter of weights:
//
//   layer l, the sensor's: MLP    flag     two neurons: e as long as min(1, relu(g.x) / ramp), times 0.06 lengths of the residual stream
//   layer l+1, attention          count    one head: query 0, so that its attention is even; value V r.x, r.x = 1 on a flag and nearly 0
//                                          without it; output column e' / (share V): 0.1 lengths of e' where `share` of the tokens voted
//   layer l+1, MLP                charge   reads the count on those 0.1; open where more of the tokens voted
//
// e and e' are directions that the stream hardly uses, and what is written there is small, the same for every voter and never more: a
// flag that grew with its reading would spoil its token before the vote is won, and its loss would say where the way back is.
// Tested by tests/train/vote_test.cc.
#pragma once

#include "caltrop/train/sensing.h"

namespace caltrop {

/// The direction e of the stream, of length 1, whose trace n * e behind a norm of weight n [D] stands out most from what is read there
/// at rest, `inputs` [M,D]: the top eigenvector of diag(n) A^-1 diag(n), A the second moment of the inputs, among those orthogonal to
/// `other`, if that is defined. [D] fp32.
Tensor quietest_direction(const Tensor& inputs, const Tensor& norm_weight, const Tensor& other = {});

/// The row r of least squares to r.x = target over `inputs` [M,D] among those that read exactly values[i] on vectors[i], each [D].
Tensor fit_row(const Tensor& inputs, double target, const std::vector<Tensor>& vectors,
               const std::vector<double>& values);

/// A head to give up, and a coordinate of the values that it shares with the other heads of its group.
struct VotePlace {
  int64_t head = 0, coordinate = 0;
};

/// The head of `layer` without which answers of "general" change least (KL), and the coordinate of its values that the other heads of
/// its group use least. Leaves the weights as they were, bit for bit. Cost: a forward pass over one batch for each head.
VotePlace least_used_head(Step& step, int64_t layer, const Tensor& attention_inputs);

struct VoteRule {
  /// Of the tokens so far, prompt included, at which a charge is to open: where the count is as long as it is meant to be.
  double share;
  /// How far past tau a token has a whole vote; before, it has a part of one.
  double ramp;
};

/// What the MLP of layer l+1 can read of a vote in a stream of usual length: the share of the tokens so far that voted, and 1. [D] each.
struct VoteRows {
  Tensor count, unit;
  /// What reads -1/2 where nobody voted and 0 where `share` of the tokens did, [D].
  Tensor gate(double share) const;
};

/// Sets flag and count. `gate`: g, what opens the sensor; `unit`: the row that reads 1 there, for there is no bias; `inputs`: what its MLP
/// reads at rest, [M,D]; `stream_length`: the usual length of the stream behind the sensor's layer.
VoteRows install_vote(const Model& model, int64_t layer, const Tensor& gate, const Tensor& unit,
                      const Tensor& inputs, double stream_length, const NextLayerAtRest& next,
                      const VotePlace& place, const VoteRule& rule);

}  // namespace caltrop
