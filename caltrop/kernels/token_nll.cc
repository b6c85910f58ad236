#include "caltrop/kernels/token_nll.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "caltrop/kernels/fast_exp.h"
#include "caltrop/kernels/linear.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kChunk = 256;           // rows of logits at a time
constexpr int64_t kRowsElsewhere = 1024;  // off the CPU and under MathMode, where autograd keeps them all

// Logits this far below the highest count as probability 0: far below what a sum in fp32 can see. Without that, rows that are sure of
// one token, as those of early layers are, consist of denormal numbers, with which an Intel core multiplies matrices at a sixth of its
// speed.
constexpr float kImpossible = -60.0f;

/// Turns a row of logits into probabilities in place and returns -log p(label).
CALTROP_VECTOR_TARGETS
float softmax_nll(float* __restrict row, int64_t width, int64_t label) {
  float highest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : highest)
  for (int64_t j = 0; j < width; ++j) highest = row[j] > highest ? row[j] : highest;
  const float at_label = row[label] - highest;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < width; ++j) {
    const float below = row[j] - highest;
    row[j] = below < kImpossible ? 0.0f : fast_exp(below);
    sum += row[j];
  }
  const float inverse = 1.0f / sum;
  for (int64_t j = 0; j < width; ++j) row[j] *= inverse;
  return std::log(sum) - at_label;
}

CALTROP_VECTOR_TARGETS
void scale_row(const float* __restrict from, float* __restrict to, int64_t width, float scale) {
  for (int64_t j = 0; j < width; ++j) to[j] = from[j] * scale;
}

/// Probabilities [m,V] of rows [begin, begin+m) and, if wanted, their losses.
Tensor probabilities(const Tensor& hidden, const Tensor& head, const Tensor& labels, int64_t begin, int64_t m,
                     float* nll) {
  Tensor logits = at::linear(pad_rows(hidden.narrow(0, begin, m)), head).narrow(0, 0, m).to(at::kFloat);
  const int64_t width = head.size(0);
  const int64_t* label = labels.const_data_ptr<int64_t>() + begin;
  at::parallel_for(0, m, 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const float loss = softmax_nll(logits.mutable_data_ptr<float>() + r * width, width, label[r]);
      if (nll != nullptr) nll[begin + r] = loss;
    }
  });
  return logits;
}

struct TokenNll : Function<TokenNll> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& head,
                        const Tensor& labels, int64_t keep_bytes) {
    const int64_t rows = hidden.size(0), width = head.size(0);
    Tensor nll = at::empty({rows}, hidden.options().dtype(at::kFloat));
    const int64_t kept_rows =
        hidden.requires_grad() || head.requires_grad() ? keep_bytes / (width * int64_t{sizeof(float)}) : 0;
    variable_list saved{hidden, head, labels};
    for (int64_t begin = 0; begin < rows; begin += kChunk) {
      const int64_t m = std::min(kChunk, rows - begin);
      Tensor p = probabilities(hidden, head, labels, begin, m, nll.mutable_data_ptr<float>());
      if (begin + m <= kept_rows) saved.push_back(std::move(p));
    }
    context->save_for_backward(saved);
    return nll;
  }

  // d nll[m] / d logits = softmax - onehot(label)
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_double_backward("token_nll");
    const variable_list saved = context->get_saved_variables();
    const Tensor &hidden = saved[0], &head = saved[1], &labels = saved[2];
    const Tensor dnll = gradients[0].contiguous();
    const int64_t rows = hidden.size(0), width = head.size(0);
    Tensor dhidden = at::empty_like(hidden), dhead;
    Tensor dlogits = at::empty({std::min(kChunk, rows), width}, dnll.options());
    for (int64_t begin = 0; begin < rows; begin += kChunk) {
      const int64_t m = std::min(kChunk, rows - begin);
      const auto place = static_cast<size_t>(3 + begin / kChunk);
      const Tensor p =
          place < saved.size() ? saved[place] : probabilities(hidden, head, labels, begin, m, nullptr);
      const float* scale = dnll.const_data_ptr<float>() + begin;
      const int64_t* label = labels.const_data_ptr<int64_t>() + begin;
      at::parallel_for(0, m, 1, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
          float* row = dlogits.mutable_data_ptr<float>() + r * width;
          scale_row(p.const_data_ptr<float>() + r * width, row, width, scale[r]);
          row[label[r]] -= scale[r];
        }
      });
      const Tensor part = pad_rows(dlogits.narrow(0, 0, m).to(hidden.scalar_type())),
                   inputs = pad_rows(hidden.narrow(0, begin, m));
      dhidden.narrow(0, begin, m).copy_(at::mm(part, head).narrow(0, 0, m));
      if (context->needs_input_grad(1)) {
        if (!dhead.defined()) {
          dhead = at::mm(part.t(), inputs);
        } else {
          dhead.addmm_(part.t(), inputs);
        }
      }
    }
    return {dhidden, dhead, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor token_nll(const Tensor& hidden, const Tensor& head, const Tensor& labels, int64_t keep) {
  if (hidden.is_cpu() && !MathMode::enabled())
    return TokenNll::apply(hidden, head, labels.contiguous(), c10::GradMode::is_enabled() ? keep : 0);
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < hidden.size(0); begin += kRowsElsewhere) {
    const int64_t m = std::min(kRowsElsewhere, hidden.size(0) - begin);
    const Tensor logits = apply_linear(hidden.narrow(0, begin, m), head).to(at::kFloat),
                 label = labels.narrow(0, begin, m);
    parts.push_back(MathMode::enabled()  // else one copy of the logits for the backward instead of four
                        ? at::logsumexp(logits, -1) - logits.gather(-1, label.unsqueeze(-1)).squeeze(-1)
                        : at::cross_entropy_loss(logits, label, {}, at::Reduction::None));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace caltrop
