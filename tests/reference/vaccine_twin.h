// Vaccine as slowly and obviously as it can be written: each row alone, by autograd, no Step. arXiv:2402.01109; official code
// git-disl/Vaccine, trainer.py. Linked into tests only.
#pragma once

#include "caltrop/data/batch.h"
#include "caltrop/train/step.h"

namespace caltrop::test {

/// The gradient of the mean cross-entropy of the rows' answers under the drift of size rho that raises it most, to first order.
Gradients vaccine_twin(const Model& model, const std::vector<TokenRow>& rows, double rho);

}  // namespace caltrop::test
