// Hessian-vector products of a step's losses: exactly, or by differences of gradients, with a check that a difference is no
// rounding noise; and what SEAM makes of them, the gradient of a cosine of gradients. Tested by tests/train/hessian_test.cc.
#pragma once

#include <string>

#include "caltrop/base/fields.h"
#include "caltrop/record/metrics.h"
#include "caltrop/train/step.h"

namespace caltrop {

struct HessianOptions {
  std::string hessian = "fd_scaled";
  /// SmolLM2 in fp32: products at one and two steps agree to 0.998; at 1e-4 to 0.87; in bf16 to 0.80.
  double epsilon = 1e-5;
  int64_t check_every = 50;
  bool strict = false;

  /// Differences of gradients want fp32 (Objective::needs_fp32).
  bool takes_differences() const { return hessian != "exact"; }
  bool checks() const { return takes_differences() && check_every > 0; }
  /// Copies of all weights that a product holds at its peak, beside its direction and the gradient that it starts from.
  int64_t copies() const;
  /// Throws UserError, beginning with `who`, where `given` sets an option of these that does nothing, be it beside the others or
  /// because no product is taken (`idle` says why; empty: one is). What it has anyway (`defaults`) may be said, as a manifest does.
  void check_used(const Json& given, const HessianOptions& defaults, const std::string& idle,
                  const std::string& who) const;

  static auto fields() {
    using O = HessianOptions;
    return std::tuple{
        field("hessian", &O::hessian, {"fd_paper", "fd_scaled", "fd_central", "exact"},
              "Hessian products by a step of length epsilon, of epsilon times |theta|, of that both ways, or "
              "exactly"),
        field("epsilon", &O::epsilon, 1e-12, 1,
              "length of the difference's step: absolute in fd_paper, relative to |theta| otherwise"),
        field("check_every", &O::check_every, 0, 1e9, "steps between checks of the difference; 0: never"),
        field("strict", &O::strict, "end the run when a check fails, instead of warning")};
  }
};

/// H v for the Hessian H of one mean loss at the weights as they stand.
class HessianProduct {
 public:
  /// `here`: loss and gradient there, which one-sided differences share. `direction`: v, not 0. The step of a difference goes
  /// along v/|v|, to which v is scaled in place; in fd_paper, as SEAM's paper has it, along v.
  HessianProduct(Step& step, std::string stream, LossFn loss, const Measured& here, Gradients direction,
                 const HessianOptions& options);

  Gradients operator()();

  struct Check {
    double moved;      // share of the weights that the difference's step really changed
    double agreement;  // cosine of the products at one and at two steps' length
    double exact;      // cosine of difference and exact product on the first row of the batch
  };
  /// A difference that is rounding noise changes with the length of its step, and is not the exact product; that one is taken
  /// on a single row, since it holds the graphs of two differentiations. REQUIRES differences, and a step that kept its rows.
  Check check();
  /// Checks when that is due and logs the worst of what was found at this step. Where it is not to be trusted: a warning that
  /// begins with `who`, or a UserError in strict mode.
  void check_if_due(const std::string& who, Scalars& scalars);

 private:
  Gradients difference(Step& step, const Gradients& here, double epsilon) const;

  Step& step_;
  std::string stream_;
  LossFn loss_;
  const Measured& here_;
  Gradients direction_;  // v / length_
  HessianOptions options_;
  double length_ = 1, epsilon_;
};

/// The numbers that check_if_due() logs.
std::vector<MetricDeclaration> difference_checks();

/// A mean loss of a step, with its gradient at the weights as they stand.
struct LossGradient {
  std::string stream;
  LossFn loss;
  Measured here;
  double norm;  // of the gradient
};
LossGradient with_norm(std::string stream, LossFn loss, Measured here);
LossGradient measure_gradient(Step& step, const std::string& stream, const LossFn& loss);

/// cos(g_a, g_b) of the two gradients.
double cosine(const LossGradient& a, const LossGradient& b);

/// Adds weight times the gradient of that cosine c to `.grad`: with ga = g_a/|g_a| and gb = g_b/|g_b|,
///   H_a (gb - c ga) / |g_a| + H_b (ga - c gb) / |g_b|
/// At c = +-1 it is 0, and nothing is added. Both products are checked when that is due.
void add_cosine_gradient(Step& step, const LossGradient& a, const LossGradient& b, double weight,
                         const HessianOptions& options, const std::string& who, Scalars& scalars);

}  // namespace caltrop
