#include "caltrop/loss/policy.h"

#include <ATen/ATen.h>

#include "caltrop/kernels/token_nll.h"

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

LossFn policy_loss(std::vector<Tensor> old, std::vector<Tensor> advantages, const ClipOptions& options) {
  return {[=](const LossInputs& in) {
    const auto part = static_cast<size_t>(in.part);
    const Tensor log_p = -token_nll(in.hidden, in.head, in.labels);
    return Total{clipped_policy_terms(log_p, old[part], advantages[part], options).sum(), in.labels.size(0)};
  }};
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
