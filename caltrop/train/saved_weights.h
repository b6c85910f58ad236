// A model's weights put aside while something else is tried with them. Tested by tests/train/step_test.cc.
#pragma once

#include "caltrop/model/model.h"

namespace caltrop {

/// Puts the weights back, bit for bit, when it goes out of scope, also when something throws. Holds one copy of them. Where one
/// lives inside another, each puts back what it found.
class SavedWeights {
 public:
  explicit SavedWeights(const Model& model);
  ~SavedWeights();
  SavedWeights(const SavedWeights&) = delete;
  SavedWeights& operator=(const SavedWeights&) = delete;

  /// One tensor a parameter, in the order of Model::parameters().
  const std::vector<Tensor>& tensors() const { return saved_; }

 private:
  const Model& model_;
  std::vector<Tensor> saved_;
};

}  // namespace caltrop
