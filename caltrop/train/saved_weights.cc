#include "caltrop/train/saved_weights.h"

#include <ATen/ATen.h>

namespace caltrop {

SavedWeights::SavedWeights(const Model& model) : model_(model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : model.parameters()) saved_.push_back(parameter.detach().clone());
}

SavedWeights::~SavedWeights() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < saved_.size(); ++i) model_.parameters()[i].second.copy_(saved_[i]);
}

}  // namespace caltrop
