#include "tests/reference/npo_twin.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/math_mode.h"
#include "tests/support/tiny_batches.h"

namespace caltrop::test {
namespace {

/// log p at every token of a row that stands alone: [T,V].
Tensor log_probabilities(const Model& model, const TokenRow& row) {
  return at::log_softmax(at::linear(model.forward(pack({&row, 1}).tokens), model.head()), -1);
}

/// -log p of a row's answer, and how many tokens that is.
std::pair<Tensor, int64_t> nll(const Model& model, const TokenRow& row) {
  const Tensor log_p = log_probabilities(model, row);
  Tensor sum = at::zeros({});
  int64_t tokens = 0;
  for (size_t t = 1; t < row.ids.size(); ++t) {
    if (!row.answer[t]) continue;
    sum = sum - log_p[static_cast<int64_t>(t) - 1][row.ids[t]];
    ++tokens;
  }
  return {sum, tokens};
}

Gradients slope(const Tensor& loss, const Model& model) {
  return torch::autograd::grad({loss}, parameters_of(model));
}

}  // namespace

Gradients NpoTwin::unlearning(const std::vector<TokenRow>& rows, double beta) const {
  const MathMode math;
  Tensor loss = at::zeros({});
  for (const TokenRow& row : rows) {
    const Tensor margin = nll(model, row).first - nll(reference, row).first.detach();
    loss = loss - 2 / beta * (1 / (1 + (-beta * margin).exp())).log() / static_cast<double>(rows.size());
  }
  return slope(loss, model);
}

Gradients NpoTwin::unlearning_per_token(const std::vector<TokenRow>& rows) const {
  const MathMode math;
  Tensor loss = at::zeros({});
  for (const TokenRow& row : rows) {
    const auto [ours, tokens] = nll(model, row);
    const Tensor margin = (ours - nll(reference, row).first.detach()) / static_cast<double>(tokens);
    loss = loss - (1 / (1 + (-margin).exp())).log() / static_cast<double>(rows.size());
  }
  return slope(loss, model);
}

Gradients NpoTwin::kl(const std::vector<TokenRow>& rows) const {
  const MathMode math;
  Tensor sum = at::zeros({});
  int64_t tokens = 0;
  for (const TokenRow& row : rows) {
    const Tensor ours = log_probabilities(model, row), theirs = log_probabilities(reference, row).detach();
    for (size_t t = 1; t < row.ids.size(); ++t) {
      if (!row.answer[t]) continue;
      const auto at = static_cast<int64_t>(t) - 1;
      sum = sum + (theirs[at].exp() * (theirs[at] - ours[at])).sum();
      ++tokens;
    }
  }
  return slope(sum / static_cast<double>(tokens), model);
}

}  // namespace caltrop::test
