#include "caltrop/kernels/adamw.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/vector_target.h"
#include "caltrop/kernels/wide.h"

namespace caltrop {
namespace {

constexpr int64_t kGrain = 1 << 15;  // numbers handed to one task

struct Rates {
  float scale, keep_mean, keep_square, decay, step, inverse_root, epsilon;
};

/// `cast`: where the new weights go in bf16 as well, if they do.
template <bool kCasts>
CALTROP_VECTOR_TARGETS void adamw_loop(float* __restrict weight, const float* __restrict gradient,
                                       float* __restrict mean, float* __restrict square,
                                       c10::BFloat16* __restrict cast, int64_t count, const Rates r) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * r.scale;
    mean[i] = g + (mean[i] - g) * r.keep_mean;
    square[i] = g * g + (square[i] - g * g) * r.keep_square;
    weight[i] = weight[i] * r.decay - r.step * mean[i] / (std::sqrt(square[i]) * r.inverse_root + r.epsilon);
    if constexpr (kCasts) put(cast[i], weight[i]);
  }
}

}  // namespace

void adamw_step(const std::vector<Tensor>& weights, const std::vector<Tensor>& gradients,
                const std::vector<Tensor>& means, const std::vector<Tensor>& squares, const AdamWStep& step,
                const std::vector<Tensor>& casts) {
  const at::NoGradGuard no_grad;
  if (weights.empty()) return;
  CALTROP_ASSERT(casts.empty() || casts.size() == weights.size(), "{} casts of {} weights", casts.size(),
                 weights.size());
  const auto is_cast = [&](size_t i) { return !casts.empty() && casts[i].defined(); };
  if (!weights.front().is_cpu()) {
    const Tensor number =
        at::scalar_tensor(static_cast<double>(step.number), weights.front().options().dtype(at::kFloat));
    const std::vector<Tensor> numbers(weights.size(), number);  // read only: one for all
    if (step.gradient_scale != 1) at::_foreach_mul_(gradients, step.gradient_scale);
    at::_fused_adamw_(weights, gradients, means, squares, /*max_exp_avg_sqs=*/{}, numbers, step.learning_rate,
                      step.beta1, step.beta2, step.weight_decay, step.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
    std::vector<Tensor> from, to;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (is_cast(i)) from.push_back(weights[i]), to.push_back(casts[i]);
    }
    if (!to.empty()) at::_foreach_copy_(to, from);
  } else {
    const auto number = static_cast<double>(step.number);
    const double of_means = 1 - std::pow(step.beta1, number), of_squares = 1 - std::pow(step.beta2, number);
    const Rates rates{.scale = static_cast<float>(step.gradient_scale),
                      .keep_mean = static_cast<float>(step.beta1),
                      .keep_square = static_cast<float>(step.beta2),
                      .decay = static_cast<float>(1 - step.learning_rate * step.weight_decay),
                      .step = static_cast<float>(step.learning_rate / of_means),
                      .inverse_root = static_cast<float>(1 / std::sqrt(of_squares)),
                      .epsilon = static_cast<float>(step.epsilon)};
    for (size_t i = 0; i < weights.size(); ++i) {
      const Tensor gradient = gradients[i].contiguous();
      CALTROP_ASSERT(weights[i].is_contiguous() && gradient.sizes() == weights[i].sizes(),
                     "a weight of {} numbers and a gradient of {}", weights[i].numel(), gradient.numel());
      c10::BFloat16* cast = nullptr;
      if (is_cast(i)) {
        CALTROP_ASSERT(casts[i].is_contiguous() && casts[i].sizes() == weights[i].sizes(),
                       "a cast of {} numbers of {}", casts[i].numel(), weights[i].numel());
        cast = casts[i].mutable_data_ptr<c10::BFloat16>();
      }
      at::parallel_for(0, gradient.numel(), kGrain, [&](int64_t begin, int64_t end) {
        float* const weight = weights[i].mutable_data_ptr<float>() + begin;
        const float* const slope = gradient.const_data_ptr<float>() + begin;
        float* const mean = means[i].mutable_data_ptr<float>() + begin;
        float* const square = squares[i].mutable_data_ptr<float>() + begin;
        if (cast != nullptr)
          adamw_loop<true>(weight, slope, mean, square, cast + begin, end - begin, rates);
        else
          adamw_loop<false>(weight, slope, mean, square, nullptr, end - begin, rates);
      });
    }
  }
  // Neither the loop nor the fused operator does, and Model::weight() casts a master anew only when its version has changed; a graph that
  // holds a cast must not go on with the new one.
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i].unsafeGetTensorImpl()->bump_version();
    if (is_cast(i)) casts[i].unsafeGetTensorImpl()->bump_version();
  }
}

}  // namespace caltrop
