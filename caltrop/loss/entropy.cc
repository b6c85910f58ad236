#include "caltrop/loss/entropy.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/linear.h"

namespace caltrop {

LossFn entropy_loss() {
  return {[](const LossInputs& in) {
    const Tensor log_p = at::log_softmax(apply_linear(in.hidden, in.head).to(at::kFloat), -1);
    return Total{-(log_p.exp() * log_p).sum(), in.labels.size(0)};
  }};
}

}  // namespace caltrop
