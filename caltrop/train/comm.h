// The place for ranks. A run is one process (comm_single.cc): there is no launcher, no backend, and nothing divides the rows
// or shards the weights. What holds already is that the sums of Step (step.h) over a batch go through here, and that what
// cannot be summed asserts that it is alone; another file of the same functions would speak c10d.
#pragma once

#include <cstdint>

#include "caltrop/tensor/tensor.h"

namespace caltrop::comm {

int64_t rank();
int64_t size();
/// The sum over ranks; in place for the tensor. A failed collective ends the run.
void sum(const Tensor& tensor);
int64_t sum(int64_t value);

}  // namespace caltrop::comm
