#include "caltrop/kernels/linear.h"

#include <algorithm>
#include <bit>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "caltrop/kernels/math_mode.h"

namespace caltrop {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

bool wants_padding(const Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kBFloat16; }

struct PaddedLinear : Function<PaddedLinear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    context->save_for_backward({x, weight});  // and not its padded copy: queries, keys and values share one x
    return at::linear(pad_rows(x), weight).narrow(0, 0, x.size(0));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_double_backward("linear");
    const variable_list saved = context->get_saved_variables();
    const Tensor dy = pad_rows(gradients[0]);
    Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = at::mm(dy, saved[1]).narrow(0, 0, gradients[0].size(0));
    if (context->needs_input_grad(1)) dweight = at::mm(dy.t(), pad_rows(saved[0]));
    return {dx, dweight};
  }
};

}  // namespace

int64_t padded_rows(int64_t rows) {
  if (rows <= 8) return rows;  // one answer is decoded as one row
  const auto octave = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows)));
  const int64_t step = std::max<int64_t>(octave / 16, 8);
  return (rows + step - 1) / step * step;
}

Tensor pad_rows(const Tensor& x) {
  const int64_t missing = padded_rows(x.size(0)) - x.size(0);
  if (missing == 0 || !wants_padding(x)) return x;
  return at::constant_pad_nd(x, {0, 0, 0, missing});
}

Tensor apply_linear(const Tensor& x, const Tensor& weight) {
  return wants_padding(x) && !MathMode::enabled() ? PaddedLinear::apply(x, weight) : at::linear(x, weight);
}

}  // namespace caltrop
