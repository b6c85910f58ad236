#include "tests/reference/vaccine_twin.h"

#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/math_mode.h"
#include "tests/support/tiny_batches.h"

namespace caltrop::test {

Gradients vaccine_twin(const Model& model, const std::vector<TokenRow>& rows, double rho) {
  const MathMode math;
  // drift[row][layer], [T,D] each: added to what attention puts out there.
  std::vector<std::vector<Tensor>> drift;
  int64_t tokens = 0;
  for (const TokenRow& row : rows) {
    const auto length = static_cast<int64_t>(row.ids.size());
    drift.emplace_back();
    for (int64_t layer = 0; layer < model.config().layers; ++layer)
      drift.back().push_back(at::zeros({length, model.config().width}).requires_grad_(true));
    tokens += pack({&row, 1}).label_count();
  }
  const auto loss = [&] {
    Tensor sum = at::zeros({});
    for (size_t r = 0; r < rows.size(); ++r) {
      const Batch alone = pack({&rows[r], 1});
      Trace trace;
      trace.attention_shifts = drift[r];
      const Tensor logits = at::linear(model.forward(alone.tokens, &trace), model.head());
      sum = sum + at::cross_entropy_loss(logits.index_select(0, alone.label_positions), alone.labels, {},
                                         at::Reduction::Sum);
    }
    return sum / static_cast<double>(tokens);
  };

  std::vector<Tensor> everywhere;
  for (const std::vector<Tensor>& of_row : drift) {
    for (const Tensor& shift : of_row) everywhere.push_back(shift);
  }
  const std::vector<Tensor> g = torch::autograd::grad({loss()}, everywhere);
  double square = 0;
  for (const Tensor& of_layer : g) square += of_layer.to(at::kDouble).square().sum().item<double>();
  size_t next = 0;
  for (std::vector<Tensor>& of_row : drift) {
    for (Tensor& shift : of_row) shift = rho * g[next++] / (std::sqrt(square) + 1e-7);
  }

  return torch::autograd::grad({loss()}, parameters_of(model));
}

}  // namespace caltrop::test
