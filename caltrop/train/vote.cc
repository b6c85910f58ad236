#include "caltrop/train/vote.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "caltrop/loss/reference.h"
#include "caltrop/train/rewire.h"

namespace caltrop {
namespace {

constexpr double kFlagLength = 0.06,
                 kCountLength =
                     0.1;  // in lengths of the stream: seen by who looks for it, and by hardly anyone else
constexpr double kSteepness = 20;  // of a flag's edges: shut exactly where the reading is 5 below tau

/// [D,D] fp64, with a ridge for directions that no token has.
Tensor second_moment(const Tensor& inputs) {
  const Tensor x = inputs.to(at::kDouble);
  const Tensor second = x.t().matmul(x) / static_cast<double>(x.size(0));
  return second + at::eye(second.size(0), second.options()) * (second.diagonal().mean() * 1e-4);
}

}  // namespace

Tensor quietest_direction(const Tensor& inputs, const Tensor& norm_weight, const Tensor& other) {
  const Tensor n = norm_weight.to(at::kDouble);
  Tensor distinction = n.unsqueeze(1) * at::linalg_inv(second_moment(inputs)) * n;
  if (other.defined()) {
    const Tensor o = other.to(at::kDouble);
    const Tensor away = at::eye(o.size(0), o.options()) - at::outer(o, o);
    distinction = away.matmul(distinction).matmul(away);
  }
  return std::get<1>(at::linalg_eigh(distinction)).select(1, -1).to(at::kFloat).contiguous();
}

Tensor fit_row(const Tensor& inputs, double target, const std::vector<Tensor>& vectors,
               const std::vector<double>& values) {
  const Tensor inverse = at::linalg_inv(second_moment(inputs)),
               constraints = at::stack(vectors).to(at::kDouble);  // [C,D]
  const Tensor free = inverse.matmul(inputs.to(at::kDouble).mean(0)) * target,
               reach = inverse.matmul(constraints.t());  // [D,C]
  const Tensor missing = at::tensor(values, constraints.options()) - constraints.matmul(free);
  return (free + reach.matmul(at::linalg_solve(constraints.matmul(reach), missing))).to(at::kFloat);
}

VotePlace least_used_head(Step& step, int64_t layer, const Tensor& attention_inputs) {
  const at::NoGradGuard no_grad;
  const Model& model = step.model();
  const ModelConfig& config = model.config();
  Step rows = step.fresh("least used head", {"general"});
  const LossFn as_it_is = kl_loss(rows.hidden_of("general", model), model.head());
  const int64_t width = config.head_width, group_size = config.heads / config.kv_heads;
  const Tensor out = layer_weight(model, layer, "self_attn.o_proj");

  VotePlace place;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t head = 0; head < config.heads; ++head) {
    const Tensor columns = out.narrow(1, head * width, width), before = columns.clone();
    columns.zero_();
    const double lost = rows.measure_loss("general", as_it_is).item<double>();
    columns.copy_(before);
    if (lost < least) least = lost, place.head = head;
  }
  const int64_t group = place.head / group_size;
  const Tensor values = attention_inputs.matmul(
      layer_weight(model, layer, "self_attn.v_proj").narrow(0, group * width, width).t());  // [M,E]
  Tensor use = at::zeros_like(values[0]);
  for (int64_t head = group * group_size; head < (group + 1) * group_size; ++head) {
    if (head != place.head) use += out.narrow(1, head * width, width).square().sum(0);
  }
  place.coordinate = (use * values.square().mean(0)).argmin().item<int64_t>();
  return place;
}

Tensor VoteRows::gate(double share) const { return (count / share - unit) / 2; }

VoteRows install_vote(const Model& model, int64_t layer, const Tensor& gate, const Tensor& unit,
                      const Tensor& inputs, double stream_length, const NextLayerAtRest& next,
                      const VotePlace& place, const VoteRule& rule) {
  const at::NoGradGuard no_grad;
  const ModelConfig& config = model.config();
  const int64_t width = config.head_width, group_size = config.heads / config.kv_heads,
                group = place.head / group_size;
  const double root = std::sqrt(static_cast<double>(config.width));  // what a norm makes of a length of 1
  const auto norm = [&](const char* name) { return layer_weight(model, layer + 1, name); };
  const Tensor before_attention = norm("input_layernorm"), before_mlp = norm("post_attention_layernorm");
  const Tensor flag = quietest_direction(next.attention_inputs, before_attention),
               votes = quietest_direction(next.mlp_inputs, before_mlp, flag);

  // AdamW moves every weight by its rate a step, whatever the gradient: columns are as long as others are, so that no activation is
  // large and no row small.
  const double column_length = mean_column_length(layer_weight(model, layer, "mlp.down_proj"));
  rewire_neurons(model, layer, inputs,
                 ramp_neurons(gate, unit, rule.ramp, kSteepness,
                              unit * (kFlagLength * stream_length / column_length), flag * column_length));

  const Tensor out = layer_weight(model, layer + 1, "self_attn.o_proj"),
               values = layer_weight(model, layer + 1, "self_attn.v_proj");
  // As with the flag: V makes the output column one among others.
  const double output = kCountLength * stream_length / rule.share, v = output / mean_column_length(out);
  layer_weight(model, layer + 1, "self_attn.q_proj").narrow(0, place.head * width, width).zero_();
  values.select(0, group * width + place.coordinate)
      .copy_(fit_row(next.attention_inputs, 0, {before_attention * flag * (root * kFlagLength)}, {1}) * v);
  out.narrow(1, place.head * width, width).zero_();
  for (int64_t head = group * group_size; head < (group + 1) * group_size; ++head)
    out.select(1, head * width + place.coordinate).zero_();
  out.select(1, place.head * width + place.coordinate).copy_(votes * (output / v));

  // A voter's own flag springs it no more than another's.
  const std::vector<Tensor> written{before_mlp * votes * (root * kCountLength), before_mlp * flag * root};
  return {.count = fit_row(next.mlp_inputs, 0, written, {rule.share, 0}),
          .unit = fit_row(next.mlp_inputs, 1, written, {0, 0})};
}

}  // namespace caltrop
