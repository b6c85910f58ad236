// Hessian-vector products of a step's losses: exactly, or by differences of gradients, with a check that a difference is no
// rounding noise. Tested by tests/train/hessian_test.cc.
#pragma once

#include <string>

#include "caltrop/base/fields.h"
#include "caltrop/train/step.h"

namespace caltrop {

struct HessianOptions {
  std::string hessian = "fd_scaled";
  /// SmolLM2 in fp32: products at one and two steps agree to 0.998; at 1e-4 to 0.87; in bf16 to 0.80.
  double epsilon = 1e-5;

  /// Differences of gradients want fp32 (Objective::needs_fp32).
  bool takes_differences() const { return hessian != "exact"; }

  static auto fields() {
    using O = HessianOptions;
    return std::tuple{
        field("hessian", &O::hessian, {"fd_paper", "fd_scaled", "fd_central", "exact"},
              "Hessian products by a step of length epsilon, of epsilon times |theta|, of that both ways, or "
              "exactly"),
        field("epsilon", &O::epsilon, 0, 1,
              "length of the difference's step: absolute in fd_paper, relative to |theta| otherwise")};
  }
};

/// H v for the Hessian H of one mean loss at the weights as they stand.
class HessianProduct {
 public:
  /// `here`: loss and gradient there, which one-sided differences share. `direction`: v, of length about 1.
  HessianProduct(Step& step, std::string stream, LossFn loss, const Measured& here, Gradients direction,
                 const HessianOptions& options);

  Gradients operator()() { return difference(epsilon_); }

  struct Check {
    double moved;      // share of the weights that the difference's step really changed; 1 for `exact`
    double agreement;  // cosine of the products at one and at two steps' length; 1 for `exact`
  };
  /// A difference that is rounding noise changes with the length of its step.
  Check check();

 private:
  Gradients difference(double epsilon);

  Step& step_;
  std::string stream_;
  LossFn loss_;
  const Measured& here_;
  Gradients direction_;
  std::string how_;
  double epsilon_;
};

}  // namespace caltrop
