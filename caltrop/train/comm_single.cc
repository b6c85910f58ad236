#include "caltrop/train/comm.h"

namespace caltrop::comm {

int64_t rank() { return 0; }
int64_t size() { return 1; }
void sum(const Tensor&) {}
int64_t sum(int64_t value) { return value; }

}  // namespace caltrop::comm
