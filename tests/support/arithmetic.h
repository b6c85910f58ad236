// The arithmetics that a model folder meets: our kernels, the plain operators, which are those of transformers, and bf16.
#pragma once

#include <optional>

#include "caltrop/kernels/math_mode.h"
#include "tests/support/tiny_model.h"

namespace caltrop::test {

enum class Arithmetic { kKernels, kMath, kBf16 };

template <typename Compute>
auto by(Arithmetic arithmetic, const Compute& compute) {
  std::optional<MathMode> math;
  if (arithmetic == Arithmetic::kMath) math.emplace(true);
  return compute();
}

/// A model over the same masters that computes in it.
inline std::shared_ptr<Model> computing_in(Arithmetic arithmetic, const std::shared_ptr<Model>& model) {
  if (arithmetic != Arithmetic::kBf16) return model;
  return std::make_shared<Model>(model->config(), model->parameters(), at::kBFloat16);
}

inline const auto all_arithmetics =
    testing::Values(Arithmetic::kKernels, Arithmetic::kMath, Arithmetic::kBf16);

}  // namespace caltrop::test
