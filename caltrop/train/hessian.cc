#include "caltrop/train/hessian.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"

namespace caltrop {
namespace {

// What a difference must reach to be trusted. Embeddings of tokens that no row holds hardly move; the rest must.
constexpr double kMoved = 0.5, kAlike = 0.9;

double norm_of_weights(const Model& model) {
  Gradients weights;
  for (const auto& [name, parameter] : model.parameters()) weights.push_back(parameter.detach());
  return global_norm(weights).item<double>();
}

double cosine(const Gradients& a, const Gradients& b) {
  return (inner_product(a, b) / (global_norm(a) * global_norm(b))).item<double>();
}

/// Logs a number, or the lower of two of one name; one that is no number stays.
void log_lower(Scalars& scalars, const std::string& name, double value) {
  for (auto& [key, logged] : scalars) {
    if (key == name) {
      logged = at::minimum(logged, at::tensor(value));
      return;
    }
  }
  scalars.emplace_back(name, at::tensor(value));
}

/// Adds weight * H x, H of `of` and x what is left of the other's unit gradient without its part along `of`'s own.
void add_one_side(Step& step, const LossGradient& of, const LossGradient& other, double c, double weight,
                  const HessianOptions& options, const std::string& who, Scalars& scalars) {
  Gradients rest;
  for (size_t i = 0; i < of.here.gradients.size(); ++i)
    rest.push_back(other.here.gradients[i] / other.norm - of.here.gradients[i] * (c / of.norm));
  // Of unit gradients in fp32 that point the same or opposite ways some 1e-7 is left, and it is rounding.
  if (global_norm(rest).item<double>() < 1e-6) return;
  HessianProduct product(step, of.stream, of.loss, of.here, std::move(rest), options);
  product.check_if_due(who, scalars);
  step.add(product(), weight / of.norm);
}

}  // namespace

int64_t HessianOptions::copies() const {
  // One-sided: the saved weights and the gradient elsewhere. Central: a gradient more. Exact: gradient, its derivative, their sum
  // over micro-batches; the check has those beside a difference.
  if (checks()) return 4;
  return hessian == "exact" || hessian == "fd_central" ? 3 : 2;
}

void HessianOptions::check_used(const Json& given, const HessianOptions& defaults, const std::string& idle,
                                const std::string& who) const {
  const Json values = write_options(*this), otherwise = write_options(defaults);
  const auto refuse = [&](const std::vector<std::string>& names, const std::string& why) {
    for (const std::string& name : names) {
      if (!given.contains(name) || values[name] == otherwise[name]) continue;
      if (name == "check_every" && check_every == 0) continue;  // asks for nothing, and gets it
      throw UserError("{}: option '{}' is {}, which does nothing {}; want it left out", who, name,
                      to_line(values[name]), why);
    }
  };
  if (!idle.empty()) refuse({"hessian", "epsilon", "check_every", "strict"}, idle);
  if (!takes_differences()) refuse({"epsilon", "check_every", "strict"}, "with hessian=exact");
  if (check_every == 0) refuse({"strict"}, "with check_every=0");
}

HessianProduct::HessianProduct(Step& step, std::string stream, LossFn loss, const Measured& here,
                               Gradients direction, const HessianOptions& options)
    : step_(step),
      stream_(std::move(stream)),
      loss_(std::move(loss)),
      here_(here),
      direction_(std::move(direction)),
      options_(options),
      epsilon_(options.epsilon) {
  if (options_.hessian != "fd_scaled" && options_.hessian != "fd_central") return;
  length_ = global_norm(direction_).item<double>();
  CALTROP_ASSERT(length_ != 0, "a Hessian product on '{}' along no direction", stream_);
  for (const Tensor& d : direction_) d.div_(length_);
  epsilon_ *= norm_of_weights(step.model());
}

Gradients HessianProduct::operator()() {
  if (!options_.takes_differences()) return step_.hessian_product(stream_, loss_, direction_);
  return difference(step_, here_.gradients, epsilon_);
}

Gradients HessianProduct::difference(Step& step, const Gradients& here, double epsilon) const {
  const auto gradient_at = [&](double scale) {
    const Nudge there(step.model(), direction_, scale);
    return step.measure(stream_, loss_).gradients;
  };
  const bool central = options_.hessian == "fd_central";
  Gradients ahead = gradient_at(epsilon);
  const Gradients behind = central ? gradient_at(-epsilon) : here;
  const double scale = length_ / (central ? 2 * epsilon : epsilon);
  for (size_t i = 0; i < ahead.size(); ++i) ahead[i].sub_(behind[i]).mul_(scale);
  return ahead;
}

HessianProduct::Check HessianProduct::check() {
  CALTROP_ASSERT(options_.takes_differences(), "an exact product on '{}' has nothing to check", stream_);
  Check found;
  found.moved = Nudge(step_.model(), direction_, epsilon_).moved();
  {
    const Gradients twice = difference(step_, here_.gradients, 2 * epsilon_);
    found.agreement = cosine(difference(step_, here_.gradients, epsilon_), twice);
  }
  const auto first = std::span(step_.rows(stream_)).first(1);
  Step one = step_.over({{stream_, {pack(first, step_.model().device())}}});
  const Gradients difference_there = difference(one, one.measure(stream_, loss_).gradients, epsilon_);
  found.exact = cosine(difference_there, one.hessian_product(stream_, loss_, direction_));
  return found;
}

void HessianProduct::check_if_due(const std::string& who, Scalars& scalars) {
  if (!options_.checks() || step_.number() % options_.check_every != 0) return;
  const Check found = check();
  log_lower(scalars, "fd_moved", found.moved);
  log_lower(scalars, "fd_agreement", found.agreement);
  log_lower(scalars, "fd_exact", found.exact);
  if (found.moved >= kMoved && found.agreement >= kAlike && found.exact >= kAlike) return;
  const std::string what = fmt::format(
      "{}: step {}: the finite difference on '{}' is not to be trusted: {:.0f} % of the weights moved, want "
      "{:.0f} %; "
      "the products at one and two steps' length agree to {:.2f} and with the exact one, on one row, to "
      "{:.2f} "
      "(cosines), want {:.2f}; try hessian=exact or another epsilon",
      who, step_.number(), stream_, 100 * found.moved, 100 * kMoved, found.agreement, found.exact, kAlike);
  if (options_.strict) throw UserError("{}", what);
  warn("{}", what);
}

std::vector<MetricDeclaration> difference_checks() {
  return {{"fd_moved", "share", "higher", "weights that really changed under the difference's step"},
          {"fd_agreement", "", "higher", "cosine of the Hessian products at one and at two steps' length"},
          {"fd_exact", "", "higher", "cosine of the difference and the exact Hessian product on one row"}};
}

LossGradient with_norm(std::string stream, LossFn loss, Measured here) {
  const double norm = global_norm(here.gradients).item<double>();
  return {std::move(stream), std::move(loss), std::move(here), norm};
}

LossGradient measure_gradient(Step& step, const std::string& stream, const LossFn& loss) {
  return with_norm(stream, loss, step.measure(stream, loss));
}

double cosine(const LossGradient& a, const LossGradient& b) {
  return inner_product(a.here.gradients, b.here.gradients).item<double>() / (a.norm * b.norm);
}

void add_cosine_gradient(Step& step, const LossGradient& a, const LossGradient& b, double weight,
                         const HessianOptions& options, const std::string& who, Scalars& scalars) {
  const double c = cosine(a, b);
  add_one_side(step, a, b, c, weight, options, who, scalars);
  add_one_side(step, b, a, c, weight, options, who, scalars);
}

}  // namespace caltrop
