#include "caltrop/train/step.h"

#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/token_nll.h"
#include "caltrop/train/comm.h"

namespace caltrop {
namespace {

/// Which tokens of a packed batch predict a label: [N] bool.
Tensor answer_positions(const Batch& batch) {
  return at::zeros({batch.tokens.count()}, batch.labels.options().dtype(at::kBool))
      .index_fill_(0, batch.label_positions, true);
}

/// The forward pass of one micro-batch up to what a loss sees.
LossInputs loss_inputs(const Model& model, const Batch& batch, const LossFn& loss, size_t part,
                       const std::vector<Tensor>& shifts = {}) {
  if (!loss.mlp_input_layers.empty()) {
    LossInputs inputs;
    inputs.part = static_cast<int64_t>(part);
    inputs.row_count = batch.rows;
    inputs.mlp_inputs = model.mlp_inputs(batch.tokens, loss.mlp_input_layers);
    inputs.is_answer = answer_positions(batch);
    return inputs;
  }
  Trace trace;
  trace.keep_states = loss.needs_states;
  trace.keep_mlp_outputs = loss.needs_mlp_outputs;
  trace.attention_shifts = shifts;
  const Tensor hidden = model.forward(batch.tokens, &trace);
  LossInputs inputs;
  inputs.hidden = hidden.index_select(0, batch.label_positions);
  inputs.head = model.head();
  inputs.labels = batch.labels;
  inputs.rows = batch.label_rows;
  inputs.row_count = batch.rows;
  inputs.part = static_cast<int64_t>(part);
  inputs.norm_weight = model.weight("model.norm.weight");
  inputs.norm_epsilon = model.config().norm_epsilon;
  for (const Tensor& state : trace.states)
    inputs.states.push_back(state.index_select(0, batch.label_positions));
  for (const Tensor& output : trace.mlp_outputs)
    inputs.mlp_outputs.push_back(output.index_select(0, batch.label_positions));
  return inputs;
}

std::vector<Tensor> tensors(const Model& model) {
  std::vector<Tensor> list;
  for (const auto& [name, tensor] : model.parameters()) list.push_back(tensor);
  return list;
}

}  // namespace

Tensor global_norm(const Gradients& gradients) {
  if (gradients.front().is_cuda())  // a launch for all tensors, not three for each
    return at::stack(at::_foreach_norm(gradients, 2)).to(at::kDouble).norm();
  return inner_product(gradients, gradients).sqrt();
}

Tensor inner_product(const Gradients& a, const Gradients& b) {
  // On the CPU a dot product adds in fp32 from one end to the other and loses a hundredth of 1e8 squares. Of pieces it is
  // accurate, and they are added in fp64.
  constexpr int64_t kPiece = 1 << 16;
  Tensor sum = at::zeros({}, a.front().options().dtype(at::kDouble));
  for (size_t i = 0; i < a.size(); ++i) {
    const Tensor x = a[i].flatten(), y = b[i].flatten();
    const int64_t piece = x.is_cpu() ? kPiece : std::max<int64_t>(x.numel(), 1);
    const std::vector<Tensor> of_x = x.split(piece), of_y = y.split(piece);
    for (size_t k = 0; k < of_x.size(); ++k)
      sum += at::dot(of_x[k].to(at::kFloat), of_y[k].to(at::kFloat)).to(at::kDouble);
  }
  return sum;
}

Clipping clipping(const Gradients& gradients, double limit) {
  const double norm = global_norm(gradients).item<double>();
  const bool clipped = limit > 0 && norm > limit && std::isfinite(norm);
  return {norm, clipped ? limit / (norm + 1e-6) : 1.0};
}

double clip_to_norm(const Gradients& gradients, double limit) {
  const auto [norm, scale] = clipping(gradients, limit);
  const at::NoGradGuard no_grad;
  if (scale != 1) at::_foreach_mul_(gradients, scale);
  return norm;
}

Step::Step(int64_t number, uint64_t seed, const Model& model, Batches batches, DrawOthers others)
    : number_(number), seed_(seed), model_(model), batches_(std::move(batches)), others_(std::move(others)) {}

Step Step::fresh(const std::string& name, const std::vector<std::string>& streams) const {
  CALTROP_ASSERT(others_ != nullptr, "fresh rows for '{}' from a step that was made without any", name);
  Batches others;
  std::map<std::string, std::vector<TokenRow>> rows;
  for (const std::string& stream : streams) {
    Drawn drawn = others_(stream, random(stream + " for " + name));
    others[stream] = std::move(drawn.batches), rows[stream] = std::move(drawn.rows);
  }
  Step step = over(std::move(others));
  step.scope_ += name + ": ";
  step.keep_rows(std::move(rows));
  return step;
}

Step Step::over(Batches batches) const {
  Step step(number_, seed_, model_, std::move(batches), others_);
  step.passes_ = passes_, step.scope_ = scope_;
  return step;
}

std::vector<Tensor> Step::log_probabilities(const std::string& stream, const Model& model) {
  const at::NoGradGuard no_grad;
  std::vector<Tensor> list = hidden_of(stream, model);
  for (size_t i = 0; i < list.size(); ++i)
    list[i] = -token_nll(list[i], model.head(), batches(stream)[i].labels);
  return list;
}

const std::vector<TokenRow>& Step::rows(const std::string& stream) const {
  const auto found = rows_.find(stream);
  CALTROP_ASSERT(found != rows_.end(), "the rows of the stream '{}' were not kept", stream);
  return found->second;
}

const std::vector<Batch>& Step::batches(const std::string& stream) const {
  const auto found = batches_.find(stream);
  CALTROP_ASSERT(found != batches_.end(),
                 "the objective measures the stream '{}', which it did not name in streams()", stream);
  return found->second;
}

Total Step::total(const Model& model, const std::string& stream, const LossFn& loss) const {
  Total all{at::zeros({}, model.parameters().front().second.options().requires_grad(false)), 0};
  const std::vector<Batch>& parts = batches(stream);
  for (size_t i = 0; i < parts.size(); ++i) {
    const Total part = loss.total(loss_inputs(model, parts[i], loss, i));
    all.sum = all.sum + part.sum;
    all.count += part.count;
  }
  return all;
}

Tensor Step::backward(const std::string& stream, const LossFn& loss, double weight,
                      const ActivationShifts& shifts) {
  const at::AutoGradMode with_gradients(true);
  ++passes_->forward, ++passes_->backward;
  const std::vector<Batch>& parts = batches(stream);
  const auto shift = [&](size_t part) { return shifts.empty() ? std::vector<Tensor>() : shifts[part]; };
  const bool alone = parts.size() == 1 && comm::size() == 1;
  if (alone) {  // the common case needs no second pass over the gradients
    const Total total = loss.total(loss_inputs(model_, parts.front(), loss, 0, shift(0)));
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
  for (size_t i = 0; i < parts.size(); ++i) {
    const Total total = loss.total(loss_inputs(model_, parts[i], loss, i, shift(i)));
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
    measured.loss = backward(stream, loss, 1.0, {});
  } catch (...) {
    put_back();
    throw;
  }
  measured.gradients = put_back();
  return measured;
}

std::vector<Measured> Step::measure(const std::string& stream, const std::vector<LossFn>& losses) {
  const at::AutoGradMode with_gradients(true);
  ++passes_->forward, passes_->backward += static_cast<int64_t>(losses.size());
  const std::vector<Tensor> parameters = tensors(model_);
  LossFn all;  // what the forward pass has to keep
  for (const LossFn& loss : losses) {
    CALTROP_ASSERT(loss.mlp_input_layers.empty(), "a loss that ends the forward pass early shares none");
    all.needs_states |= loss.needs_states, all.needs_mlp_outputs |= loss.needs_mlp_outputs;
  }
  std::vector<Measured> measured(losses.size());
  std::vector<int64_t> counts(losses.size());
  const std::vector<Batch>& parts = batches(stream);
  for (size_t i = 0; i < parts.size(); ++i) {
    const LossInputs inputs = loss_inputs(model_, parts[i], all, i);
    for (size_t k = 0; k < losses.size(); ++k) {
      const Total total = losses[k].total(inputs);
      const std::vector<Tensor> gradients =
          torch::autograd::grad({total.sum}, parameters, {}, /*retain_graph=*/k + 1 < losses.size(),
                                /*create_graph=*/false, /*allow_unused=*/true);
      const at::NoGradGuard no_grad;
      Measured& of_loss = measured[k];
      of_loss.loss = i == 0 ? total.sum.detach() : of_loss.loss + total.sum.detach();
      counts[k] += total.count;
      for (size_t p = 0; p < parameters.size(); ++p) {
        const Tensor gradient = gradients[p].defined() ? gradients[p] : at::zeros_like(parameters[p]);
        if (i == 0) {
          of_loss.gradients.push_back(gradient);
        } else {
          of_loss.gradients[p].add_(gradient);
        }
      }
    }
  }
  const at::NoGradGuard no_grad;
  for (size_t k = 0; k < losses.size(); ++k) {
    counts[k] = comm::sum(counts[k]);
    comm::sum(measured[k].loss);
    CALTROP_ASSERT(counts[k] > 0, "a loss over nothing in the stream '{}'", stream);
    measured[k].loss = measured[k].loss / counts[k];
    for (const Tensor& gradient : measured[k].gradients) {
      comm::sum(gradient);
      gradient.div_(static_cast<double>(counts[k]));
    }
  }
  return measured;
}

Tensor Step::loss_at(const Model& other, const std::string& stream, const LossFn& loss) {
  CALTROP_ASSERT(comm::size() == 1, "derivatives through training steps on {} ranks", comm::size());
  ++passes_->forward, ++passes_->backward;
  const Total all = total(other, stream, loss);
  return all.sum / static_cast<double>(all.count);
}

Tensor Step::measure_loss(const std::string& stream, const LossFn& loss) {
  const at::NoGradGuard no_grad;
  ++passes_->forward;
  const Total all = total(model_, stream, loss);
  comm::sum(all.sum);
  return all.sum / comm::sum(all.count);
}

Tensor Step::accumulate(const std::string& stream, const LossFn& loss, double weight,
                        const ActivationShifts& shifts) {
  return backward(stream, loss, weight, shifts);
}

Gradients Step::hessian_product(const std::string& stream, const LossFn& loss, const Gradients& direction) {
  const MathMode math;
  const at::AutoGradMode with_gradients(true);
  passes_->forward += 2, passes_->backward += 2;  // the second differentiation runs through both graphs
  const std::vector<Tensor> parameters = tensors(model_);
  Gradients product;
  for (const Tensor& p : parameters) product.push_back(at::zeros_like(p));
  int64_t count = 0;
  const std::vector<Batch>& parts = batches(stream);
  for (size_t i = 0; i < parts.size(); ++i) {
    const Total total = loss.total(loss_inputs(model_, parts[i], loss, i));
    const auto gradient =
        torch::autograd::grad({total.sum}, parameters, {}, /*retain_graph=*/true, /*create_graph=*/true);
    Tensor along = at::zeros({}, product.front().options());
    for (size_t p = 0; p < parameters.size(); ++p) along = along + (gradient[p] * direction[p]).sum();
    const auto second = torch::autograd::grad({along}, parameters, {}, false, false, /*allow_unused=*/true);
    const at::NoGradGuard no_grad;
    for (size_t p = 0; p < parameters.size(); ++p) {
      if (second[p].defined()) product[p].add_(second[p]);
    }
    count += total.count;
  }
  count = comm::sum(count);
  const at::NoGradGuard no_grad;
  for (const Tensor& p : product) {
    comm::sum(p);
    p.div_(static_cast<double>(count));
  }
  return product;
}

ActivationShifts Step::attention_gradients(const std::string& stream, const LossFn& loss) {
  const at::AutoGradMode with_gradients(true);
  ++passes_->forward, ++passes_->backward;
  ActivationShifts gradients;
  int64_t count = 0;
  const std::vector<Batch>& parts = batches(stream);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<Tensor> zeros;
    for (int64_t layer = 0; layer < model_.config().layers; ++layer) {
      const at::TensorOptions options = at::TensorOptions(model_.compute_dtype()).device(model_.device());
      zeros.push_back(
          at::zeros({parts[i].tokens.count(), model_.config().width}, options).requires_grad_(true));
    }
    const Total total = loss.total(loss_inputs(model_, parts[i], loss, i, zeros));
    gradients.push_back(torch::autograd::grad({total.sum}, zeros));
    count += total.count;
  }
  count = comm::sum(count);
  const at::NoGradGuard no_grad;
  for (const std::vector<Tensor>& part : gradients) {
    for (const Tensor& g : part) g.div_(static_cast<double>(count));
  }
  return gradients;
}

std::vector<Tensor> Step::hidden_of(const std::string& stream, const Model& other) {
  const at::NoGradGuard no_grad;
  ++passes_->forward;
  std::vector<Tensor> hidden;
  for (const Batch& part : batches(stream))
    hidden.push_back(other.forward(part.tokens).index_select(0, part.label_positions));
  return hidden;
}

std::vector<std::vector<Tensor>> Step::states_of(const std::string& stream, const Model& other) {
  const at::NoGradGuard no_grad;
  ++passes_->forward;
  std::vector<std::vector<Tensor>> states;
  for (const Batch& part : batches(stream)) {
    Trace trace;
    trace.keep_states = true;
    other.forward(part.tokens, &trace);
    states.emplace_back();
    for (const Tensor& state : trace.states)
      states.back().push_back(state.index_select(0, part.label_positions));
  }
  return states;
}

MlpInputs Step::mlp_inputs(const std::string& stream, int64_t layer) {
  const at::NoGradGuard no_grad;
  ++passes_->forward;
  std::vector<Tensor> of_answers, of_prompts;
  for (const Batch& part : batches(stream)) {
    const Tensor x = model_.mlp_input(part.tokens, layer).to(at::kFloat), is_answer = answer_positions(part);
    of_answers.push_back(x.index({is_answer}));
    of_prompts.push_back(x.index({is_answer.logical_not()}));
  }
  return {at::cat(of_answers), at::cat(of_prompts)};
}

Tensor Step::residual_stream(const std::string& stream, int64_t layer) {
  const at::NoGradGuard no_grad;
  ++passes_->forward;
  std::vector<Tensor> parts;
  for (const Batch& part : batches(stream)) {
    Trace trace;
    trace.keep_states = true;
    model_.forward(part.tokens, &trace);
    parts.push_back(trace.states[static_cast<size_t>(layer)].to(at::kFloat));
  }
  return at::cat(parts);
}

void Step::add(const Gradients& gradients, double weight) {
  const at::NoGradGuard no_grad;
  const std::vector<Tensor> parameters = tensors(model_);
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor& gradient = parameters[i].mutable_grad();
    if (gradient.defined()) {
      gradient.add_(gradients[i], weight);
    } else {
      gradient = gradients[i] * weight;  // a copy: what is added later must not change the caller's
    }
  }
}

int64_t Step::label_count(const std::string& stream) const {
  int64_t count = 0;
  for (const Batch& part : batches(stream)) count += part.label_count();
  return comm::sum(count);
}

RandomStream Step::random(const std::string& name) const {
  return RandomStream(seed_, fmt::format("{}{} at step {}", scope_, name, number_));
}

Nudge::Nudge(const Model& model, const Gradients& direction, double scale) : model_(model), saved_(model) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < direction.size(); ++i) model.parameters()[i].second.add_(direction[i], scale);
}

double Nudge::moved() const {
  const at::NoGradGuard no_grad;
  int64_t moved = 0, all = 0;
  for (size_t i = 0; i < saved_.tensors().size(); ++i) {
    moved += saved_.tensors()[i].ne(model_.parameters()[i].second).sum().item<int64_t>();
    all += saved_.tensors()[i].numel();
  }
  return static_cast<double>(moved) / static_cast<double>(all);
}

}  // namespace caltrop
