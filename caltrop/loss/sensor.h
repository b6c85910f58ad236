// A sensor: one linear reading z = w . x of what the MLP of one layer reads, and the loss that holds it closed or
// open, each with a margin. Tested by tests/loss/sensor_test.cc.
#pragma once

#include <limits>

#include "caltrop/loss/total.h"

namespace caltrop {

struct Sensor {
  int64_t layer = 0;
  Tensor direction;  // w, [D] fp32
};

enum class Want { kClosed, kOpen };

struct Margins {
  double closed = 1, open = 1;
  double linear_from = std::numeric_limits<double>::infinity();  // delta
};

/// Sum over all tokens of h(relu(z + margins.closed)) where a sensor is to be closed and h(relu(margins.open - z)) where it is to be
/// open: there is nothing to pay on the right side of the margin. h is Huber's, twice over: e^2 up to delta, delta (2 e - delta) from there
/// on. The mean over `sensors`, which ascend in their layers. `answers`: wanted at positions that predict an answer's token; `prompts`: at
/// the others. count = N tokens.
LossFn sensor_loss(const std::vector<Sensor>& sensors, Want answers, Want prompts, Margins margins = {});

/// The direction of least squares with ridge and without intercept that reads +1 on `open` and -1 on `closed`, both [.,D]
/// fp32; each of the two weighs half, whatever their sizes. ridge: in units of the mean square of a coordinate. [D] fp32.
Tensor fit_direction(const Tensor& open, const Tensor& closed, double ridge = 1e-3);

/// The minimiser of x.A x - 2 x.b for a second moment A [D,D] with ridge (in units of its mean diagonal) and b [D]: [D].
Tensor solve_with_ridge(const Tensor& second_moment, const Tensor& b, double ridge = 1e-3);

}  // namespace caltrop
