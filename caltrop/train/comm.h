// The only place that knows about ranks. Today a run is one process (comm_single.cc); under torchrun another
// file of the same functions will speak c10d. Nothing else may assume that it is alone, so sums over the
// batch go through here.
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
