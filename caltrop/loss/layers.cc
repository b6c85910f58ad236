#include "caltrop/loss/layers.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/elementwise.h"
#include "caltrop/kernels/token_nll.h"

namespace caltrop {

namespace {
constexpr int64_t kKeptOfAllStates = 4 * kKeptProbabilities;  // enough for a usual batch of a small model
}

LossFn layerwise_loss() {
  LossFn loss;
  loss.needs_states = true;
  loss.total = [](const LossInputs& in) {
    // One budget for all states: each of them has logits as large as those of a whole answer loss.
    const int64_t keep = kKeptOfAllStates / static_cast<int64_t>(in.states.size());
    Tensor sum = token_nll(in.hidden, in.head, in.labels, keep).sum();
    for (size_t i = 0; i + 1 < in.states.size(); ++i) {
      const Tensor normed = rms_norm(in.states[i], in.norm_weight, in.norm_epsilon);
      sum = sum + token_nll(normed, in.head, in.labels, keep).sum();
    }
    return Total{sum / static_cast<double>(in.states.size()), in.labels.size(0)};
  };
  return loss;
}

}  // namespace caltrop
