// CTRAP as slowly and obviously as it can be written: explicit copies, no Step, no Nudge. arXiv:2505.16559;
// official code clearloveclearlove/CTRAP, trainer.py. Linked into tests only.
#pragma once

#include "caltrop/train/step.h"

namespace caltrop::test {

struct TwinBatches {
  Batch refusals, general, harmful;
};

struct CtrapTwin {
  double lambda, alpha;
  bool normalise;
  bool collapse_on_refusals;
  int64_t token;

  /// The gradient that one step of the method adds.
  Gradients gradients(const Model& model, const TwinBatches& batches) const;
};

/// Gradient of the mean cross-entropy on a batch; with `token` >= 0, every label is that token.
Gradients cross_entropy_gradient(const Model& model, const Batch& batch, int64_t token = -1);

}  // namespace caltrop::test
