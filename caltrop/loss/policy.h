// The losses of policy gradients with clipping (PPO, Schulman et al. 2017), as verl writes them
// (verl/trainer/ppo/core_algos.py). Tested by tests/loss/policy_test.cc.
#pragma once

#include "caltrop/tensor/tensor.h"

namespace caltrop {

struct ClipOptions {
  double clip = 0.2;  // of the ratio, on either side of 1
  double dual_clip =
      3.0;  // c: where the advantage is negative the loss stops at -c A (Ye et al. 2020); 0: off
};

/// With rho = exp(log_p - old): l = max(-A rho, -A clip(rho, 1-clip, 1+clip)), and min(l, -c A) where A < 0. All [M] fp32, one
/// element a sampled token; differentiable in log_p.
Tensor clipped_policy_terms(const Tensor& log_p, const Tensor& old, const Tensor& advantages,
                            const ClipOptions& options);

/// Where clipping, on either side of 1 or by the dual clip, took the gradient away: 1 or 0 for each of the same, [M].
Tensor is_clipped(const Tensor& log_p, const Tensor& old, const Tensor& advantages,
                  const ClipOptions& options);

/// KL of the policy from the reference at the sampled tokens, by their log-probabilities: [M] fp32.
///   k1 = log_p - reference               unbiased, may be negative
///   k3 = exp(reference - log_p) - 1 - (reference - log_p)      unbiased, never negative, low variance (Schulman's note)
Tensor kl_k1(const Tensor& log_p, const Tensor& reference);
Tensor kl_k3(const Tensor& log_p, const Tensor& reference);

/// 1/2 max((v - r)^2, (clip(v, old - range, old + range) - r)^2) for values v, old values and returns r, all [M].
Tensor clipped_value_terms(const Tensor& values, const Tensor& old, const Tensor& returns, double range);

}  // namespace caltrop
