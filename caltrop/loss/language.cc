#include "caltrop/loss/language.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/token_nll.h"

namespace caltrop {

LossFn answer_loss() {
  return {[](const LossInputs& in) {
    return Total{token_nll(in.hidden, in.head, in.labels).sum(), in.labels.size(0)};
  }};
}

LossFn fixed_token_loss(int64_t token) {
  return {[token](const LossInputs& in) {
    return Total{token_nll(in.hidden, in.head, at::full_like(in.labels, token)).sum(), in.labels.size(0)};
  }};
}

LossFn capped_ascent_loss(double cap) {
  return {[cap](const LossInputs& in) {
    return Total{-token_nll(in.hidden, in.head, in.labels).clamp_max(cap).sum(), in.labels.size(0)};
  }};
}

LossFn unlikelihood_loss() {
  return {[](const LossInputs& in) {
    const Tensor p = (-token_nll(in.hidden, in.head, in.labels)).exp();
    return Total{-(1.02 - p).log().sum(), in.labels.size(0)};
  }};
}

}  // namespace caltrop
