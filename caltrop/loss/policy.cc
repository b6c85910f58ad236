#include "caltrop/loss/policy.h"

#include <ATen/ATen.h>

namespace caltrop {

Tensor clipped_policy_terms(const Tensor& log_p, const Tensor& old, const Tensor& advantages,
                            const ClipOptions& options) {
  const Tensor ratio = (log_p - old).exp();
  const Tensor plain = -advantages * ratio;
  const Tensor clipped = -advantages * ratio.clamp(1 - options.clip, 1 + options.clip);
  const Tensor larger = at::maximum(plain, clipped);
  if (options.dual_clip == 0) return larger;
  return at::where(advantages < 0, at::minimum(larger, -options.dual_clip * advantages), larger);
}

Tensor is_clipped(const Tensor& log_p, const Tensor& old, const Tensor& advantages,
                  const ClipOptions& options) {
  const Tensor ratio = (log_p - old).exp();
  Tensor lost = (-advantages * ratio.clamp(1 - options.clip, 1 + options.clip)).gt(-advantages * ratio);
  if (options.dual_clip > 0) lost = lost.logical_or((advantages < 0).logical_and(ratio > options.dual_clip));
  return lost.to(at::kFloat);
}

Tensor kl_k1(const Tensor& log_p, const Tensor& reference) { return log_p - reference; }

Tensor kl_k3(const Tensor& log_p, const Tensor& reference) {
  const Tensor difference = reference - log_p;
  return difference.exp() - 1 - difference;
}

Tensor clipped_value_terms(const Tensor& values, const Tensor& old, const Tensor& returns, double range) {
  const Tensor clipped = at::minimum(at::maximum(values, old - range), old + range);
  return 0.5 * at::maximum((values - returns).square(), (clipped - returns).square());
}

}  // namespace caltrop
