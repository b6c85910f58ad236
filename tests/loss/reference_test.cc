#include "caltrop/loss/reference.h"

#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/support/support.h"

namespace caltrop {
namespace {

struct ReferenceLoss : testing::Test {
  LossInputs in;
  Tensor other_hidden, other_head;

  void SetUp() override {
    at::manual_seed(4);
    in.hidden = at::randn({5, 4}).requires_grad_(true);
    in.head = at::randn({7, 4});
    in.labels = at::tensor({0, 6, 3, 3, 1}, at::kLong);
    in.rows = at::tensor({0, 0, 1, 1, 1}, at::kLong);
    in.row_count = 2;
    other_hidden = at::randn({5, 4}), other_head = at::randn({7, 4});
  }
  static double nll(const Tensor& hidden, const Tensor& head, int64_t m, int64_t label) {
    return -at::log_softmax(at::mv(head, hidden[m]), 0)[label].item<double>();
  }
  double row(const Tensor& hidden, const Tensor& head, int64_t begin, int64_t end) const {
    double sum = 0;
    for (int64_t m = begin; m < end; ++m) sum += nll(hidden.detach(), head, m, in.labels[m].item<int64_t>());
    return sum;
  }
};

double log_sigmoid(double x) { return -std::log1p(std::exp(-x)); }

TEST_F(ReferenceLoss, NpoIsItsFormula) {
  const double beta = 0.3;
  double expected = 0;
  for (const auto& [begin, end] : {std::pair{0, 2}, {2, 5}}) {
    expected +=
        -2 / beta *
        log_sigmoid(beta * (row(in.hidden, in.head, begin, end) - row(other_hidden, other_head, begin, end)));
  }
  const Total total = npo_loss(beta, {other_hidden}, other_head).total(in);
  EXPECT_NEAR(total.sum.item<double>(), expected, 1e-4);
  EXPECT_EQ(total.count, 2);
}

TEST_F(ReferenceLoss, NpoAtTheReferenceIsTwoOverBetaLogTwoAndItsGradientIsAscent) {
  const double beta = 0.1;
  const Total total = npo_loss(beta, {in.hidden.detach()}, in.head).total(in);
  EXPECT_NEAR(total.sum.item<double>() / 2, 2 / beta * std::log(2), 1e-4);
  const Tensor gradient = torch::autograd::grad({total.sum}, {in.hidden})[0];
  const Tensor ascent = torch::autograd::grad({-row_nll(in).sum()}, {in.hidden})[0];
  EXPECT_LE((gradient - ascent).abs().max().item<double>(), 1e-5);
}

TEST_F(ReferenceLoss, PerTokenFormIsThatOfCtrapsCode) {
  double expected = 0;
  for (const auto& [begin, end] : {std::pair{0, 2}, {2, 5}}) {
    const double tokens = end - begin;
    expected -= log_sigmoid(
        (row(in.hidden, in.head, begin, end) - row(other_hidden, other_head, begin, end)) / tokens);
  }
  EXPECT_NEAR(npo_loss_per_token({other_hidden}, other_head).total(in).sum.item<double>(), expected, 1e-4);
}

TEST_F(ReferenceLoss, KlIsZeroAtTheReferenceAndItsFormulaElsewhere) {
  EXPECT_NEAR(kl_loss({in.hidden.detach()}, in.head).total(in).sum.item<double>(), 0, 1e-5);
  const Tensor p = at::softmax(at::linear(other_hidden, other_head), -1),
               q = at::softmax(at::linear(in.hidden, in.head), -1);
  const Total total = kl_loss({other_hidden}, other_head).total(in);
  EXPECT_NEAR(total.sum.item<double>(), (p * (p / q).log()).sum().item<double>(), 1e-4);
  EXPECT_EQ(total.count, 5);
}

TEST_F(ReferenceLoss, StateDistanceIsTheMeanNormOverLayers) {
  in.states = {at::zeros({2, 2}), at::zeros({2, 2})};
  in.labels = at::zeros({2}, at::kLong);
  const std::vector<std::vector<Tensor>> other = {
      {at::tensor({3.0f, 4.0f, 0.0f, 0.0f}).view({2, 2}), at::tensor({0.0f, 1.0f, 0.0f, 2.0f}).view({2, 2})}};
  EXPECT_NEAR(state_distance(other).total(in).sum.item<double>(), (5 + 0 + 1 + 2) / 2.0, 1e-5);
}

}  // namespace
}  // namespace caltrop
