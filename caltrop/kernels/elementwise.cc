#include "caltrop/kernels/elementwise.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "caltrop/kernels/fast_exp.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/vector_target.h"
#include "caltrop/kernels/wide.h"

namespace caltrop {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

bool fast(const Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         !MathMode::enabled();
}

// Rows handed to one task: enough work to be worth a thread.
int64_t grain(int64_t width) { return std::max<int64_t>(1, 16384 / width); }

template <typename T>
CALTROP_VECTOR_TARGETS void norm_rows(const T* __restrict x, const T* __restrict weight, T* __restrict y,
                                      float* scale, int64_t rows, int64_t width, float epsilon) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += wide(x[i]) * wide(x[i]);
    const float s = 1.0f / std::sqrt(sum / static_cast<float>(width) + epsilon);
    scale[r] = s;
    for (int64_t i = 0; i < width; ++i) put(y[i], wide(x[i]) * s * wide(weight[i]));
  }
}

// dx = s * (w*dy - x * s^2 * mean(x * w*dy)), with s = rsqrt(mean(x^2) + eps)
template <typename T>
CALTROP_VECTOR_TARGETS void norm_rows_backward(const T* __restrict x, const T* __restrict weight,
                                               const float* scale, const T* __restrict dy, T* __restrict dx,
                                               float* __restrict dweight, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    const float s = scale[r];
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += wide(x[i]) * wide(weight[i]) * wide(dy[i]);
    const float shrink = s * s * dot / static_cast<float>(width);
    for (int64_t i = 0; i < width; ++i) {
      put(dx[i], s * (wide(weight[i]) * wide(dy[i]) - wide(x[i]) * shrink));
      dweight[i] += wide(x[i]) * s * wide(dy[i]);
    }
  }
}

template <typename T>
struct RmsNorm : Function<RmsNorm<T>> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double epsilon) {
    const Tensor input = x.contiguous();
    const int64_t width = input.size(-1), rows = input.numel() / width;
    Tensor y = at::empty_like(input), scale = at::empty({rows}, input.options().dtype(at::kFloat));
    at::parallel_for(0, rows, grain(width), [&](int64_t begin, int64_t end) {
      norm_rows(input.const_data_ptr<T>() + begin * width, weight.const_data_ptr<T>(),
                y.mutable_data_ptr<T>() + begin * width, scale.mutable_data_ptr<float>() + begin, end - begin,
                width, static_cast<float>(epsilon));
    });
    context->save_for_backward({input, weight, scale});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_double_backward("rms_norm");
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &scale = saved[2];
    const Tensor dy = gradients[0].contiguous();
    const int64_t width = x.size(-1), rows = x.numel() / width;
    Tensor dx = at::empty_like(x);
    const int64_t tasks = std::min<int64_t>(at::get_num_threads(), std::max<int64_t>(1, rows / grain(width)));
    Tensor partial =
        at::zeros({tasks, width}, scale.options());  // one sum of dweight a task, so that order is fixed
    at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        const int64_t begin = rows * task / tasks, end = rows * (task + 1) / tasks;
        norm_rows_backward(x.const_data_ptr<T>() + begin * width, weight.const_data_ptr<T>(),
                           scale.const_data_ptr<float>() + begin, dy.const_data_ptr<T>() + begin * width,
                           dx.mutable_data_ptr<T>() + begin * width,
                           partial.mutable_data_ptr<float>() + task * width, end - begin, width);
      }
    });
    return {dx, partial.sum(0).to(weight.scalar_type()), Tensor()};
  }
};

// fast_exp is clamped; where expf overflows the sigmoid is 0, as it is in ATen: a gate that is shut has no gradient at all.
inline float sigmoid(float x) { return x < -88.0f ? 0.0f : 1.0f / (1.0f + fast_exp(-x)); }

template <typename T>
CALTROP_VECTOR_TARGETS void swiglu_forward(const T* __restrict gate, const T* __restrict up, T* __restrict y,
                                           int64_t count) {
  for (int64_t i = 0; i < count; ++i) put(y[i], wide(gate[i]) * sigmoid(wide(gate[i])) * wide(up[i]));
}

template <typename T>
CALTROP_VECTOR_TARGETS void swiglu_backward(const T* __restrict gate, const T* __restrict up,
                                            const T* __restrict dy, T* __restrict dgate, T* __restrict dup,
                                            int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = wide(gate[i]), open = sigmoid(g), silu = g * open;
    put(dup[i], wide(dy[i]) * silu);
    put(dgate[i], wide(dy[i]) * wide(up[i]) * (open + silu * (1.0f - open)));
  }
}

template <typename T>
struct SwiGlu : Function<SwiGlu<T>> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    const Tensor g = gate.contiguous(), u = up.contiguous();
    Tensor y = at::empty_like(g);
    at::parallel_for(0, g.numel(), 16384, [&](int64_t begin, int64_t end) {
      swiglu_forward(g.const_data_ptr<T>() + begin, u.const_data_ptr<T>() + begin,
                     y.mutable_data_ptr<T>() + begin, end - begin);
    });
    context->save_for_backward({g, u});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_double_backward("swiglu");
    const variable_list saved = context->get_saved_variables();
    const Tensor &gate = saved[0], &up = saved[1];
    const Tensor dy = gradients[0].contiguous();
    Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
    at::parallel_for(0, gate.numel(), 16384, [&](int64_t begin, int64_t end) {
      swiglu_backward(gate.const_data_ptr<T>() + begin, up.const_data_ptr<T>() + begin,
                      dy.const_data_ptr<T>() + begin, dgate.mutable_data_ptr<T>() + begin,
                      dup.mutable_data_ptr<T>() + begin, end - begin);
    });
    return {dgate, dup};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  if (fast(x) && weight.scalar_type() == x.scalar_type()) {
    return x.scalar_type() == at::kFloat ? RmsNorm<float>::apply(x, weight, epsilon)
                                         : RmsNorm<at::BFloat16>::apply(x, weight, epsilon);
  }
  if (x.is_cuda() && !MathMode::enabled())
    return at::rms_norm(x, {x.size(-1)}, weight.to(x.scalar_type()), epsilon);  // one kernel
  const Tensor wide = x.to(at::kFloat);
  const Tensor normed = wide * at::rsqrt(wide.square().mean({-1}, /*keepdim=*/true) + epsilon);
  return normed.to(x.scalar_type()) * weight.to(x.scalar_type());
}

Tensor swiglu(const Tensor& gate, const Tensor& up) {
  if (fast(gate)) {
    return gate.scalar_type() == at::kFloat ? SwiGlu<float>::apply(gate, up)
                                            : SwiGlu<at::BFloat16>::apply(gate, up);
  }
  return at::silu(gate) * up;
}

}  // namespace caltrop
