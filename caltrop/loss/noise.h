// Maximum mean discrepancy between what a layer computes and noise (RepNoise, arXiv:2405.14577). Tested by
// tests/loss/noise_test.cc.
#pragma once

#include <functional>

#include "caltrop/loss/total.h"

namespace caltrop {

/// MMD of x [B,F] and y [B,F] with a sum of five Gaussian kernels, as in the official code: bandwidth = mean squared distance
/// between different points / 4, times 1, 2, 4, 8, 16; mean over all pairs, equal ones included (biased). Scalar fp32.
Tensor mmd(const Tensor& x, const Tensor& y);

/// Mean over layers of mmd(what the MLP of the layer puts out over a row's answer, flattened; `noise` of the same shape),
/// a batch statistic: over several micro-batches it is their mean weighted by rows. count = B. `noise(part, layer, x)` gives
/// standard normal noise like x.
LossFn noise_loss(std::function<Tensor(int64_t part, int64_t layer, const Tensor& like)> noise);

}  // namespace caltrop
