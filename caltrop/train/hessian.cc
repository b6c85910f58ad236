#include "caltrop/train/hessian.h"

#include <ATen/ATen.h>

namespace caltrop {
namespace {

double norm_of_weights(const Model& model) {
  Gradients weights;
  for (const auto& [name, parameter] : model.parameters()) weights.push_back(parameter.detach());
  return global_norm(weights).item<double>();
}

}  // namespace

HessianProduct::HessianProduct(Step& step, std::string stream, LossFn loss, const Measured& here,
                               Gradients direction, const HessianOptions& options)
    : step_(step),
      stream_(std::move(stream)),
      loss_(std::move(loss)),
      here_(here),
      direction_(std::move(direction)),
      how_(options.hessian),
      epsilon_(options.epsilon) {
  if (how_ == "fd_scaled" || how_ == "fd_central") epsilon_ *= norm_of_weights(step.model());
}

Gradients HessianProduct::difference(double epsilon) {
  if (how_ == "exact") return step_.hessian_product(stream_, loss_, direction_);
  const auto gradient_at = [&](double scale) {
    const Nudge there(step_.model(), direction_, scale);
    return step_.measure(stream_, loss_).gradients;
  };
  const bool central = how_ == "fd_central";
  Gradients ahead = gradient_at(epsilon);
  const Gradients behind = central ? gradient_at(-epsilon) : here_.gradients;
  for (size_t i = 0; i < ahead.size(); ++i) ahead[i].sub_(behind[i]).div_(central ? 2 * epsilon : epsilon);
  return ahead;
}

HessianProduct::Check HessianProduct::check() {
  if (how_ == "exact") return {1, 1};
  const Gradients twice = difference(2 * epsilon_), once = difference(epsilon_);
  const double lengths = (global_norm(once) * global_norm(twice)).item<double>();
  return {Nudge(step_.model(), direction_, epsilon_).moved(),
          inner_product(once, twice).item<double>() / lengths};
}

}  // namespace caltrop
