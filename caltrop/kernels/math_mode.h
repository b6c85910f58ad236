// Whether operators are the fast ones or plain compositions of ATen operators.
//
// Fast operators have hand-written first derivatives only. Under MathMode every operator is a composition of
// ATen's own, differentiable any number of times: exact Hessian-vector products need it, and it is the oracle
// that tests hold the fast operators to. A second derivative of a fast operator is refused with an error,
// never silently wrong.
#pragma once

namespace caltrop {

/// While it lives, operators on this thread are the plain ones. May be nested.
class MathMode {
 public:
  explicit MathMode(bool enabled = true);
  ~MathMode();
  MathMode(const MathMode&) = delete;
  MathMode& operator=(const MathMode&) = delete;

  static bool enabled();

 private:
  bool before_;
};

/// Called first in each hand-written backward: throws if it is itself being differentiated.
void refuse_double_backward(const char* op);

}  // namespace caltrop
