#include "caltrop/kernels/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace caltrop {
namespace {

// oneDNN's packed product has no C++ declaration in the wheel's headers; the dispatcher knows it by name.
using Reorder = Tensor(const Tensor&, std::optional<int64_t>);
using Pointwise = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
                         c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

std::optional<c10::OperatorHandle> find(const char* name) {
  return c10::Dispatcher::singleton().findSchema({name, ""});
}

}  // namespace

PackedLinear::PackedLinear(const Tensor& weight, int64_t rows) : weight_(weight.detach()) {
  const auto reorder = find("mkldnn::_reorder_linear_weight");
  const bool usable = weight.is_cpu() && weight.scalar_type() == at::kFloat && at::hasMKLDNN();
  if (!usable || !reorder || !find("mkldnn::_linear_pointwise")) return;
  const at::NoGradGuard no_grad;
  weight_ = reorder->typed<Reorder>().call(weight_.contiguous(), rows);
  packed_ = true;
}

Tensor PackedLinear::operator()(const Tensor& x) const {
  if (!packed_) return at::linear(x, weight_);
  static const auto linear = find("mkldnn::_linear_pointwise")->typed<Pointwise>();
  return linear.call(x, weight_, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace caltrop
