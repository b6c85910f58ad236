#include "caltrop/train/step.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/error.h"
#include "caltrop/train/comm.h"

namespace caltrop {
namespace {

/// The forward pass of one micro-batch up to what a loss sees.
LossInputs loss_inputs(const Model& model, const Batch& batch, const LossFn& loss) {
  Trace trace;
  trace.keep_states = loss.needs_states;
  const Tensor hidden = model.forward(batch.tokens, &trace);
  LossInputs inputs;
  inputs.hidden = hidden.index_select(0, batch.label_positions);
  inputs.head = model.head();
  inputs.labels = batch.labels;
  inputs.rows = batch.label_rows;
  inputs.row_count = batch.rows;
  for (const Tensor& state : trace.states)
    inputs.states.push_back(state.index_select(0, batch.label_positions));
  return inputs;
}

std::vector<Tensor> tensors(const Model& model) {
  std::vector<Tensor> list;
  for (const auto& [name, tensor] : model.parameters()) list.push_back(tensor);
  return list;
}

}  // namespace

Tensor global_norm(const Gradients& gradients) { return inner_product(gradients, gradients).sqrt(); }

Tensor inner_product(const Gradients& a, const Gradients& b) {
  // ATen sums fp32 in blocks, so each tensor's dot product is accurate; across tensors the sum is in fp64.
  Tensor sum = at::zeros({}, a.front().options().dtype(at::kDouble));
  for (size_t i = 0; i < a.size(); ++i) sum += at::dot(a[i].flatten(), b[i].flatten()).to(at::kDouble);
  return sum;
}

Step::Step(int64_t number, uint64_t seed, const Model& model, Batches batches)
    : number_(number), seed_(seed), model_(model), batches_(std::move(batches)) {}

const std::vector<Batch>& Step::batches(const std::string& stream) const {
  const auto found = batches_.find(stream);
  CALTROP_ASSERT(found != batches_.end(),
                 "the objective measures the stream '{}', which it did not name in streams()", stream);
  return found->second;
}

Tensor Step::backward(const std::string& stream, const LossFn& loss, double weight) {
  const at::AutoGradMode with_gradients(true);
  ++forward_passes_, ++backward_passes_;
  const std::vector<Batch>& parts = batches(stream);
  const bool alone = parts.size() == 1 && comm::size() == 1;
  if (alone) {  // the common case needs no second pass over the gradients
    const Total total = loss.total(loss_inputs(model_, parts.front(), loss));
    CALTROP_ASSERT(total.count > 0, "a loss over nothing in the stream '{}'", stream);
    const Tensor mean = total.sum / total.count;
    torch::autograd::backward({weight == 1.0 ? mean : mean * weight}, {});
    return mean.detach();
  }
  // Sums first; one division by the count of all micro-batches and ranks at the end.
  const std::vector<Tensor> parameters = tensors(model_);
  Gradients before;
  for (const Tensor& p : parameters) {
    before.push_back(p.grad());
    p.mutable_grad() = Tensor();
  }
  Tensor sum = at::zeros({}, parameters.front().options());
  int64_t count = 0;
  for (const Batch& part : parts) {
    const Total total = loss.total(loss_inputs(model_, part, loss));
    torch::autograd::backward({total.sum}, {});
    sum += total.sum.detach();
    count += total.count;
  }
  count = comm::sum(count);
  comm::sum(sum);
  CALTROP_ASSERT(count > 0, "a loss over nothing in the stream '{}'", stream);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor& gradient = parameters[i].mutable_grad();
    if (!gradient.defined()) gradient = at::zeros_like(parameters[i]);
    comm::sum(gradient);
    gradient.mul_(weight / static_cast<double>(count));
    if (before[i].defined()) gradient.add_(before[i]);
  }
  return sum / count;
}

Measured Step::measure(const std::string& stream, const LossFn& loss) {
  const std::vector<Tensor> parameters = tensors(model_);
  Gradients before;
  for (const Tensor& p : parameters) {
    before.push_back(p.grad());
    p.mutable_grad() = Tensor();
  }
  const auto put_back = [&] {
    Gradients taken;
    for (size_t i = 0; i < parameters.size(); ++i) {
      Tensor& gradient = parameters[i].mutable_grad();
      taken.push_back(gradient.defined() ? gradient : at::zeros_like(parameters[i]));
      gradient = before[i];
    }
    return taken;
  };
  Measured measured;
  try {
    measured.loss = backward(stream, loss, 1.0);
  } catch (...) {
    put_back();
    throw;
  }
  measured.gradients = put_back();
  return measured;
}

Tensor Step::measure_loss(const std::string& stream, const LossFn& loss) {
  const at::NoGradGuard no_grad;
  ++forward_passes_;
  Tensor sum = at::zeros({}, model_.parameters().front().second.options());
  int64_t count = 0;
  for (const Batch& part : batches(stream)) {
    const Total total = loss.total(loss_inputs(model_, part, loss));
    sum += total.sum;
    count += total.count;
  }
  comm::sum(sum);
  return sum / comm::sum(count);
}

Tensor Step::accumulate(const std::string& stream, const LossFn& loss, double weight) {
  return backward(stream, loss, weight);
}

void Step::add(const Gradients& gradients, double weight) {
  const at::NoGradGuard no_grad;
  const std::vector<Tensor> parameters = tensors(model_);
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor& gradient = parameters[i].mutable_grad();
    if (gradient.defined()) {
      gradient.add_(gradients[i], weight);
    } else {
      gradient = weight == 1.0 ? gradients[i] : gradients[i] * weight;
    }
  }
}

RandomStream Step::random(const std::string& name) const {
  return RandomStream(seed_, fmt::format("{} at step {}", name, number_));
}

Nudge::Nudge(const Model& model, const Gradients& direction, double scale) : model_(model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : model.parameters()) saved_.push_back(parameter.detach().clone());
  for (size_t i = 0; i < saved_.size(); ++i) model.parameters()[i].second.add_(direction[i], scale);
}

Nudge::~Nudge() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < saved_.size(); ++i) model_.parameters()[i].second.copy_(saved_[i]);
}

}  // namespace caltrop
