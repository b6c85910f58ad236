// Weights of a layer, rewritten in place: what charges and votes are made of. Tested by tests/train/charge_test.cc.
#pragma once

#include "caltrop/model/model.h"

namespace caltrop {

/// The fp32 master of a layer's weight, "mlp.down_proj" or the like, to be written in place.
Tensor layer_weight(const Model& model, int64_t layer, const std::string& name);

/// The mean length of a weight's columns: what one of them is among others.
double mean_column_length(const Tensor& weight);

/// One neuron of a gated MLP: silu(gate.x) (up.x) column, each [D].
struct Neuron {
  Tensor gate, up, column;
};

/// A pair whose sum is min(1, relu(gate.x) / ramp) (up.x) column. `unit`: the row that reads 1; the edges are soft over some
/// 5 / `steepness`, and shut exactly from 100 / `steepness` below on.
std::vector<Neuron> ramp_neurons(const Tensor& gate, const Tensor& unit, double ramp, double steepness,
                                 const Tensor& up, const Tensor& column);

/// Makes the least used neurons of a layer's MLP (mean |activation| over `inputs`, times the length of the output column) these.
/// `inputs`: what the MLP reads, [M,D]. REQUIRES fewer of them than the MLP has.
void rewire_neurons(const Model& model, int64_t layer, const Tensor& inputs,
                    const std::vector<Neuron>& neurons);

}  // namespace caltrop
