// A matrix product for operands that fit the caches, as attention over short rows has them by the thousand.
#pragma once

#include <cstdint>

namespace caltrop {

/// C[m,n] += A B on one thread. A's element (i,p) is a[i*a_row + p*a_column], so A may be a transpose; B is
/// [k,n] with row stride ldb, C has row stride ldc. No alignment or size is required; n a multiple of 16 is
/// fastest.
void small_gemm(float* c, int64_t ldc, const float* a, int64_t a_row, int64_t a_column, const float* b,
                int64_t ldb, int64_t m, int64_t n, int64_t k);

}  // namespace caltrop
