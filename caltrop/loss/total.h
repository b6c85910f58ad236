// What a loss is: a pure function of tensors that returns a sum and what it is a sum over.
//
// Sums and counts add over micro-batches of different length and over ranks; means do not. Whoever combines
// them divides once, at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// What the forward pass of one micro-batch offers to a loss.
struct LossInputs {
  Tensor hidden;          // [M,D] final hidden states at the positions that have a label
  Tensor head;            // [V,D]
  Tensor labels;          // [M] int64, the next token at each of them
  Tensor rows;            // [M] int64, which row each belongs to
  int64_t row_count = 0;  // B
  int64_t part = 0;       // which micro-batch of the step's batch this is
  Tensor norm_weight;     // [D] of the final norm, for losses that read inner layers through the head
  double norm_epsilon = 0;
  // If the loss asked for them, at the same positions, [M,D] each:
  std::vector<Tensor> states;  // h_0 (embedding) .. h_{L-1}, and h_L after the final norm, which is `hidden`
  std::vector<Tensor> mlp_outputs;  // what the MLP of each layer adds to the residual stream
  // If the loss reads inputs of MLPs, these instead of all of the above, at every token of the packed micro-batch:
  std::vector<Tensor> mlp_inputs;  // [N,D] each, in the order of mlp_input_layers
  Tensor is_answer;                // [N] bool: the positions that have a label
};

struct Total {
  Tensor sum;     // scalar fp32, differentiable
  int64_t count;  // how many terms: tokens or rows
};

struct LossFn {
  std::function<Total(const LossInputs&)> total;
  bool needs_states = false;
  bool needs_mlp_outputs = false;
  // Where there are any: the loss reads what the MLPs of these layers read, and nothing behind the last is computed. Ascending.
  std::vector<int64_t> mlp_input_layers{};
};

}  // namespace caltrop
