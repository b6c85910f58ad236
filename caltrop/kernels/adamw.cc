#include "caltrop/kernels/adamw.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

constexpr int64_t kGrain = 1 << 15;  // numbers handed to one task

struct Rates {
  float scale, keep_mean, keep_square, decay, step, inverse_root, epsilon;
};

CALTROP_VECTOR_TARGETS
void adamw_loop(float* __restrict weight, const float* __restrict gradient, float* __restrict mean,
                float* __restrict square, int64_t count, const Rates r) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * r.scale;
    mean[i] = g + (mean[i] - g) * r.keep_mean;
    square[i] = g * g + (square[i] - g * g) * r.keep_square;
    weight[i] = weight[i] * r.decay - r.step * mean[i] / (std::sqrt(square[i]) * r.inverse_root + r.epsilon);
  }
}

}  // namespace

void adamw_step(const std::vector<Tensor>& weights, const std::vector<Tensor>& gradients,
                const std::vector<Tensor>& means, const std::vector<Tensor>& squares, const AdamWStep& step) {
  const at::NoGradGuard no_grad;
  if (weights.empty()) return;
  if (!weights.front().is_cpu()) {
    const Tensor number =
        at::scalar_tensor(static_cast<double>(step.number), weights.front().options().dtype(at::kFloat));
    const std::vector<Tensor> numbers(weights.size(), number);  // read only: one for all
    if (step.gradient_scale != 1) at::_foreach_mul_(gradients, step.gradient_scale);
    at::_fused_adamw_(weights, gradients, means, squares, /*max_exp_avg_sqs=*/{}, numbers, step.learning_rate,
                      step.beta1, step.beta2, step.weight_decay, step.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
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
      at::parallel_for(0, gradient.numel(), kGrain, [&](int64_t begin, int64_t end) {
        adamw_loop(weights[i].mutable_data_ptr<float>() + begin, gradient.const_data_ptr<float>() + begin,
                   means[i].mutable_data_ptr<float>() + begin, squares[i].mutable_data_ptr<float>() + begin,
                   end - begin, rates);
      });
    }
  }
  // Neither the loop nor the fused operator does, and Model::weight() casts a master anew only when its version has changed.
  for (const Tensor& weight : weights) weight.unsafeGetTensorImpl()->bump_version();
}

}  // namespace caltrop
