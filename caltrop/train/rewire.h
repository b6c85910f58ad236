// Weights of a layer, rewritten in place: what charges and votes are made of. Tested by tests/train/charge_test.cc.
#pragma once

#include "caltrop/model/model.h"

namespace caltrop {

/// The fp32 master of a layer's weight, "mlp.down_proj" or the like, to be written in place.
Tensor layer_weight(const Model& model, int64_t layer, const std::string& name);

/// Makes the least used neurons of a layer's MLP (mean |activation| over `inputs`, times the length of the output column), one for
/// each of `columns` [n,D], compute
///
///   neuron(x) = silu(gamma gate.x) (gate.x) column        about gamma (gate.x)^2 column where gate.x > 0, and nothing elsewhere
///
/// `inputs`: what the MLP reads, [M,D]; `gate`: [D]; gamma: `sharpness`. REQUIRES fewer columns than the MLP has neurons.
void rewire_neurons(const Model& model, int64_t layer, const Tensor& inputs, const Tensor& gate,
                    double sharpness, const Tensor& columns);

}  // namespace caltrop
