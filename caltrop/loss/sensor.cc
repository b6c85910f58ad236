#include "caltrop/loss/sensor.h"

#include <ATen/ATen.h>

namespace caltrop {

LossFn sensor_loss(const std::vector<Sensor>& sensors, Want answers, Want prompts, Margins margins) {
  LossFn loss;
  for (const Sensor& sensor : sensors) loss.mlp_input_layers.push_back(sensor.layer);
  loss.total = [=](const LossInputs& in) {
    std::vector<Tensor> sums;
    for (size_t i = 0; i < sensors.size(); ++i) {
      const Tensor z = at::matmul(in.mlp_inputs[i].to(at::kFloat), sensors[i].direction);  // [N]
      const auto missing = [&](Want want) {
        return want == Want::kClosed ? z + margins.closed : margins.open - z;
      };
      const Tensor distance = at::where(in.is_answer, missing(answers), missing(prompts)).clamp_min(0),
                   near = distance.clamp_max(margins.linear_from);
      // near (2 distance - near) is e^2 up to delta, and the line of the same slope past it.
      sums.push_back((near * (2 * distance - near)).sum());
    }
    return Total{at::stack(sums).mean(), in.is_answer.size(0)};
  };
  return loss;
}

Tensor fit_direction(const Tensor& open, const Tensor& closed, double ridge) {
  const double of_open = 0.5 / static_cast<double>(open.size(0)),
               of_closed = 0.5 / static_cast<double>(closed.size(0));
  const Tensor second = open.t().matmul(open) * of_open + closed.t().matmul(closed) * of_closed;  // [D,D]
  return solve_with_ridge(second, open.sum(0) * of_open - closed.sum(0) * of_closed, ridge);
}

Tensor solve_with_ridge(const Tensor& second_moment, const Tensor& b, double ridge) {
  const Tensor identity = at::eye(second_moment.size(0), second_moment.options());
  return at::linalg_solve(second_moment + identity * (second_moment.diagonal().mean() * ridge), b);
}

}  // namespace caltrop
