#include "caltrop/kernels/small_gemm.h"

#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {
// One AVX2 register. A wider type would be kept in memory where the processor has no register of its size. Four rows of
// two such are the eight accumulators of one tile: as many as it takes to hide the latency of two FMA units.
typedef float Lanes __attribute__((vector_size(32), aligned(4)));
constexpr int64_t kLanes = 8;
constexpr int64_t kColumns = 2 * kLanes;
constexpr int64_t kRows = 4;
}  // namespace

CALTROP_VECTOR_TARGETS
void small_gemm(float* c, int64_t ldc, const float* a, int64_t a_row, int64_t a_column, const float* b,
                int64_t ldb, int64_t m, int64_t n, int64_t k) {
  const int64_t whole_n = n - n % kColumns, whole_m = m - m % kRows;
  for (int64_t j = 0; j < whole_n; j += kColumns) {
    for (int64_t i = 0; i < whole_m; i += kRows) {
      Lanes* c0 = reinterpret_cast<Lanes*>(c + i * ldc + j);
      Lanes* c1 = reinterpret_cast<Lanes*>(c + (i + 1) * ldc + j);
      Lanes* c2 = reinterpret_cast<Lanes*>(c + (i + 2) * ldc + j);
      Lanes* c3 = reinterpret_cast<Lanes*>(c + (i + 3) * ldc + j);
      Lanes l0 = c0[0], l1 = c1[0], l2 = c2[0], l3 = c3[0];  // the left half of the tile, and the right
      Lanes r0 = c0[1], r1 = c1[1], r2 = c2[1], r3 = c3[1];
      const float* value = a + i * a_row;
      const float* b_row = b + j;
      for (int64_t p = 0; p < k; ++p, value += a_column, b_row += ldb) {
        const Lanes* lanes = reinterpret_cast<const Lanes*>(b_row);
        const Lanes left = lanes[0], right = lanes[1];
        l0 += value[0] * left, r0 += value[0] * right;
        l1 += value[a_row] * left, r1 += value[a_row] * right;
        l2 += value[2 * a_row] * left, r2 += value[2 * a_row] * right;
        l3 += value[3 * a_row] * left, r3 += value[3 * a_row] * right;
      }
      c0[0] = l0, c1[0] = l1, c2[0] = l2, c3[0] = l3;
      c0[1] = r0, c1[1] = r1, c2[1] = r2, c3[1] = r3;
    }
    for (int64_t i = whole_m; i < m; ++i) {
      Lanes* row = reinterpret_cast<Lanes*>(c + i * ldc + j);
      Lanes left = row[0], right = row[1];
      for (int64_t p = 0; p < k; ++p) {
        const Lanes* lanes = reinterpret_cast<const Lanes*>(b + p * ldb + j);
        left += a[i * a_row + p * a_column] * lanes[0];
        right += a[i * a_row + p * a_column] * lanes[1];
      }
      row[0] = left, row[1] = right;
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
