// Many proofs as one Markdown page: what each hardened model cost, lost, and became. Tested by tests/report/results_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/report/load.h"

namespace caltrop {

struct Interval {
  double low = 0, high = 0;
};

/// 95 % interval of a share seen in n trials (Wilson 1927), which is sensible at 0 and at 1 too. REQUIRES n > 0.
Interval wilson(double share, int64_t n);

/// A section a proof: the command that made it, two tables and a sentence a model.
std::string results_page(const std::vector<Proof>& proofs, const std::string& command);

}  // namespace caltrop
