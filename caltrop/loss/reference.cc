#include "caltrop/loss/reference.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/linear.h"
#include "caltrop/kernels/token_nll.h"

namespace caltrop {
namespace {

Tensor sum_by_row(const Tensor& of_token, const LossInputs& in) {
  return at::zeros({in.row_count}, of_token.options()).index_add(0, in.rows, of_token);
}

/// NLL of the reference for each row, and the number of tokens of each.
Tensor reference_nll(const LossInputs& in, const std::vector<Tensor>& hidden, const Tensor& head) {
  const at::NoGradGuard no_grad;
  return sum_by_row(token_nll(hidden[static_cast<size_t>(in.part)], head, in.labels), in);
}

}  // namespace

Tensor row_nll(const LossInputs& in) { return sum_by_row(token_nll(in.hidden, in.head, in.labels), in); }

LossFn npo_loss(double beta, std::vector<Tensor> reference_hidden, Tensor reference_head) {
  return {[=](const LossInputs& in) {
    const Tensor margin = row_nll(in) - reference_nll(in, reference_hidden, reference_head);
    return Total{at::log_sigmoid(margin * beta).sum() * (-2 / beta), in.row_count};
  }};
}

LossFn npo_loss_per_token(std::vector<Tensor> reference_hidden, Tensor reference_head) {
  return {[=](const LossInputs& in) {
    const Tensor tokens = sum_by_row(at::ones_like(in.labels, at::kFloat), in);
    const Tensor margin = (row_nll(in) - reference_nll(in, reference_hidden, reference_head)) / tokens;
    return Total{-at::log_sigmoid(margin).sum(), in.row_count};
  }};
}

LossFn state_distance(std::vector<std::vector<Tensor>> states) {
  LossFn loss;
  loss.needs_states = true;
  loss.total = [states = std::move(states)](const LossInputs& in) {
    const std::vector<Tensor>& reference = states[static_cast<size_t>(in.part)];
    Tensor sum = at::zeros({}, in.hidden.options().dtype(at::kFloat));
    for (size_t layer = 0; layer < reference.size(); ++layer) {
      const Tensor square =
          (in.states[layer].to(at::kFloat) - reference[layer].to(at::kFloat)).square().sum(-1);
      sum = sum + (square + 1e-12).sqrt().sum();  // the root has no slope at 0, where training starts
    }
    return Total{sum / static_cast<double>(reference.size()), in.labels.size(0)};
  };
  return loss;
}

LossFn kl_loss(std::vector<Tensor> reference_hidden, Tensor reference_head) {
  return {[=](const LossInputs& in) {
    Tensor reference;
    {
      const at::NoGradGuard no_grad;
      reference = at::log_softmax(
          apply_linear(reference_hidden[static_cast<size_t>(in.part)], reference_head).to(at::kFloat), -1);
    }
    const Tensor ours = at::log_softmax(apply_linear(in.hidden, in.head).to(at::kFloat), -1);
    return Total{(reference.exp() * (reference - ours)).sum(), in.labels.size(0)};
  }};
}

}  // namespace caltrop
