#include "caltrop/kernels/panel_tiles.h"

#include "caltrop/kernels/amx_tiles.h"
#include "caltrop/kernels/vector_target.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace caltrop {
namespace {

// fp32: six rows of two AVX2 registers are twelve accumulators, as many as sixteen registers allow.
typedef float Lanes __attribute__((vector_size(32), aligned(4)));
constexpr int64_t kLanes = 8;

template <int ROWS>
[[gnu::always_inline]] inline void multiply_fp32(const TileArguments& t) {
  Lanes left[ROWS], right[ROWS];
#pragma GCC unroll 6
  for (int r = 0; r < ROWS; ++r) {
    const Lanes* row = reinterpret_cast<const Lanes*>(t.c + r * t.ldc);
    left[r] = t.first ? Lanes{} : row[0];
    right[r] = t.first ? Lanes{} : row[1];
  }
  const float *x = reinterpret_cast<const float*>(t.x), *w = reinterpret_cast<const float*>(t.w);
  for (int64_t p = 0; p < t.depth; ++p, x += ROWS, w += 2 * kLanes) {
    if (p < t.lines) __builtin_prefetch(t.next + p * kWordsOfALine, 0, 3);
    const Lanes* lanes = reinterpret_cast<const Lanes*>(w);
    const Lanes a = lanes[0], b = lanes[1];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; ++r) {
      left[r] += x[r] * a;
      right[r] += x[r] * b;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < ROWS; ++r) {
    Lanes* row = reinterpret_cast<Lanes*>(t.c + r * t.ldc);
    row[0] = left[r];
    row[1] = right[r];
  }
}

CALTROP_VECTOR_TARGETS
void tile_fp32(const TileArguments& t) {
  switch (t.rows) {
    case 1:
      return multiply_fp32<1>(t);
    case 2:
      return multiply_fp32<2>(t);
    case 3:
      return multiply_fp32<3>(t);
    case 4:
      return multiply_fp32<4>(t);
    case 5:
      return multiply_fp32<5>(t);
    default:
      return multiply_fp32<6>(t);
  }
}

constexpr PanelTiles kFp32 = {.outputs = 2 * kLanes,
                              .rows = 6,
                              .depth = 192,
                              .multiple = 1,
                              .interleaved = true,
                              .multiply = tile_fp32};

#if defined(__x86_64__)
#define CALTROP_BF16_TARGET "avx512f,avx512bf16"

// bf16: twelve rows of two AVX-512 registers, of 32; one instruction multiplies sixteen pairs and adds them to sixteen sums.
template <int ROWS>
[[gnu::always_inline, gnu::target(CALTROP_BF16_TARGET)]] inline void multiply_bf16(const TileArguments& t) {
  __m512 left[ROWS], right[ROWS];
#pragma GCC unroll 12
  for (int r = 0; r < ROWS; ++r) {
    left[r] = t.first ? _mm512_setzero_ps() : _mm512_loadu_ps(t.c + r * t.ldc);
    right[r] = t.first ? _mm512_setzero_ps() : _mm512_loadu_ps(t.c + r * t.ldc + 16);
  }
  const int32_t *x = t.x, *w = t.w;
  for (int64_t p = 0; p < t.depth; ++p, x += ROWS, w += 32) {
    if (2 * p < t.lines) {
      __builtin_prefetch(t.next + 2 * p * kWordsOfALine, 0, 3);
      __builtin_prefetch(t.next + (2 * p + 1) * kWordsOfALine, 0, 3);
    }
    const __m512bh a = (__m512bh)_mm512_loadu_si512(w), b = (__m512bh)_mm512_loadu_si512(w + 16);
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
      const __m512bh pair = (__m512bh)_mm512_set1_epi32(x[r]);
      left[r] = _mm512_dpbf16_ps(left[r], pair, a);
      right[r] = _mm512_dpbf16_ps(right[r], pair, b);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < ROWS; ++r) {
    _mm512_storeu_ps(t.c + r * t.ldc, left[r]);
    _mm512_storeu_ps(t.c + r * t.ldc + 16, right[r]);
  }
}

[[gnu::target(CALTROP_BF16_TARGET)]] void tile_bf16(const TileArguments& t) {
  switch (t.rows) {
    case 1:
      return multiply_bf16<1>(t);
    case 2:
      return multiply_bf16<2>(t);
    case 3:
      return multiply_bf16<3>(t);
    case 4:
      return multiply_bf16<4>(t);
    case 5:
      return multiply_bf16<5>(t);
    case 6:
      return multiply_bf16<6>(t);
    case 7:
      return multiply_bf16<7>(t);
    case 8:
      return multiply_bf16<8>(t);
    case 9:
      return multiply_bf16<9>(t);
    case 10:
      return multiply_bf16<10>(t);
    case 11:
      return multiply_bf16<11>(t);
    default:
      return multiply_bf16<12>(t);
  }
}

constexpr PanelTiles kBf16 = {
    .outputs = 32, .rows = 12, .depth = 96, .multiple = 1, .interleaved = true, .multiply = tile_bf16};
#endif

}  // namespace

const PanelTiles* avx512_bf16_tiles() {
#if defined(__x86_64__)
  static const bool has_it = __builtin_cpu_supports("avx512bf16");
  if (has_it) return &kBf16;
#endif
  return nullptr;
}

const PanelTiles* panel_tiles(at::ScalarType dtype) {
  if (dtype == at::kFloat) return &kFp32;
  if (dtype != at::kBFloat16) return nullptr;
  return amx_tiles() != nullptr ? amx_tiles() : avx512_bf16_tiles();
}

}  // namespace caltrop
