#include "caltrop/kernels/small_gemm.h"

#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {
// Sixteen floats: two AVX2 registers or one of AVX-512; four rows of them are the accumulators of one tile.
typedef float Lanes __attribute__((vector_size(64), aligned(4)));
constexpr int64_t kLanes = 16;
constexpr int64_t kRows = 4;
}  // namespace

CALTROP_VECTOR_TARGETS
void small_gemm(float* c, int64_t ldc, const float* a, int64_t a_row, int64_t a_column, const float* b,
                int64_t ldb, int64_t m, int64_t n, int64_t k) {
  const int64_t whole_n = n - n % kLanes, whole_m = m - m % kRows;
  for (int64_t j = 0; j < whole_n; j += kLanes) {
    for (int64_t i = 0; i < whole_m; i += kRows) {
      float* c0 = c + i * ldc + j;
      Lanes s0 = *reinterpret_cast<Lanes*>(c0), s1 = *reinterpret_cast<Lanes*>(c0 + ldc);
      Lanes s2 = *reinterpret_cast<Lanes*>(c0 + 2 * ldc), s3 = *reinterpret_cast<Lanes*>(c0 + 3 * ldc);
      const float* a0 = a + i * a_row;
      const float* b0 = b + j;
      for (int64_t p = 0; p < k; ++p, a0 += a_column, b0 += ldb) {
        const Lanes row = *reinterpret_cast<const Lanes*>(b0);
        s0 += a0[0] * row;
        s1 += a0[a_row] * row;
        s2 += a0[2 * a_row] * row;
        s3 += a0[3 * a_row] * row;
      }
      *reinterpret_cast<Lanes*>(c0) = s0;
      *reinterpret_cast<Lanes*>(c0 + ldc) = s1;
      *reinterpret_cast<Lanes*>(c0 + 2 * ldc) = s2;
      *reinterpret_cast<Lanes*>(c0 + 3 * ldc) = s3;
    }
    for (int64_t i = whole_m; i < m; ++i) {
      Lanes sum = *reinterpret_cast<Lanes*>(c + i * ldc + j);
      for (int64_t p = 0; p < k; ++p)
        sum += a[i * a_row + p * a_column] * *reinterpret_cast<const Lanes*>(b + p * ldb + j);
      *reinterpret_cast<Lanes*>(c + i * ldc + j) = sum;
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
      const float value = a[i * a_row + p * a_column];
      for (int64_t j = whole_n; j < n; ++j) c[i * ldc + j] += value * b[p * ldb + j];
    }
  }
}

}  // namespace caltrop
