// The step of AdamW over all weights. On the CPU gradients are clipped and weights cast on the way, which ATen wants done in passes of
// their own. Measured by `./run bench kernels`, tested by tests/kernels/adamw_test.cc.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

struct AdamWStep {
  int64_t number;  // from 1
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  double gradient_scale;  // gradients count times this
};

/// Loshchilov, Hutter 2019:  g = gradient_scale gradient;  m += (1 - beta1)(g - m);  v += (1 - beta2)(g^2 - v)
///   w -= learning_rate (weight_decay w + m/(1 - beta1^number) / (sqrt(v/(1 - beta2^number)) + epsilon))
/// for each weight w; four lists of equal length, fp32, equal shapes. `casts`: empty, or for each weight a bf16 tensor of its shape that
/// becomes its cast, or an undefined one. Gradients are left as they are on the CPU, scaled on a GPU.
void adamw_step(const std::vector<Tensor>& weights, const std::vector<Tensor>& gradients,
                const std::vector<Tensor>& means, const std::vector<Tensor>& squares, const AdamWStep& step,
                const std::vector<Tensor>& casts = {});

}  // namespace caltrop
