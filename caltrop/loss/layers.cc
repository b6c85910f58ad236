#include "caltrop/loss/layers.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/elementwise.h"
#include "caltrop/kernels/token_nll.h"

namespace caltrop {

LossFn layerwise_loss() {
  LossFn loss;
  loss.needs_states = true;
  loss.total = [](const LossInputs& in) {
    std::vector<Tensor> read{in.hidden};  // normed already, and once is enough
    for (size_t i = 0; i + 1 < in.states.size(); ++i)
      read.push_back(rms_norm(in.states[i], in.norm_weight, in.norm_epsilon));
    const auto states = static_cast<int64_t>(read.size());
    const Tensor sum = token_nll(at::cat(read), in.head, in.labels.repeat({states}), kKeptOfAllStates).sum();
    return Total{sum / static_cast<double>(states), in.labels.size(0)};
  };
  return loss;
}

}  // namespace caltrop
