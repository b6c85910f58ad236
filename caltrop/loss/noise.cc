#include "caltrop/loss/noise.h"

#include <ATen/ATen.h>

namespace caltrop {
namespace {

constexpr int kKernels = 5;

/// [M,D] by row -> [B, longest * D], zero where a row has no more tokens.
Tensor flattened(const Tensor& x, const LossInputs& in) {
  const Tensor counts = at::bincount(in.rows, {}, in.row_count);
  const int64_t longest = counts.max().item<int64_t>(), width = x.size(1);
  const Tensor first = counts.cumsum(0) - counts;  // labels come in the order of rows, then time
  const Tensor place = at::arange(in.rows.size(0), in.rows.options()) - first.index_select(0, in.rows);
  const Tensor index = in.rows * longest + place;
  return at::zeros({in.row_count * longest, width}, x.options())
      .index_copy(0, index, x)
      .view({in.row_count, longest * width});
}

}  // namespace

Tensor mmd(const Tensor& x, const Tensor& y) {
  const int64_t n = x.size(0);
  const Tensor all = at::cat({x, y}).to(at::kFloat);  // [2B,F]; in bf16 the distances drown
  const Tensor norms = all.square().sum(1);
  const Tensor squares = (norms.unsqueeze(0) + norms.unsqueeze(1) - 2 * at::mm(all, all.t())).clamp_min(0);
  const Tensor bandwidth = squares.detach().sum() / static_cast<double>(2 * n * (2 * n - 1)) / 4;
  Tensor kernel = at::zeros_like(squares);
  for (int i = 0; i < kKernels; ++i) kernel = kernel + at::exp(-squares / (bandwidth * (1 << i)));
  const auto block = [&](int64_t a, int64_t b) { return kernel.narrow(0, a * n, n).narrow(1, b * n, n); };
  return (block(0, 0) + block(1, 1) - block(0, 1) - block(1, 0)).mean();
}

LossFn noise_loss(std::function<Tensor(int64_t, int64_t, const Tensor&)> noise) {
  LossFn loss;
  loss.needs_mlp_outputs = true;
  loss.total = [noise = std::move(noise)](const LossInputs& in) {
    Tensor sum = at::zeros({}, in.hidden.options().dtype(at::kFloat));
    for (size_t layer = 0; layer < in.mlp_outputs.size(); ++layer) {
      const Tensor x = flattened(in.mlp_outputs[layer].to(at::kFloat), in);
      // Noise only where the row has tokens, as the mask multiplies both in the official code.
      const Tensor y =
          flattened(noise(in.part, static_cast<int64_t>(layer), in.mlp_outputs[layer]).to(at::kFloat), in);
      sum = sum + mmd(x, y);
    }
    const double layers = static_cast<double>(in.mlp_outputs.size());
    return Total{sum * (static_cast<double>(in.row_count) / layers), in.row_count};
  };
  return loss;
}

}  // namespace caltrop
