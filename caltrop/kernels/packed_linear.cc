#include "caltrop/kernels/packed_linear.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/kernels/linear.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

// One AVX2 register; six rows of two such are twelve accumulators, as many as sixteen registers allow.
typedef float Lanes __attribute__((vector_size(32), aligned(4)));
constexpr int64_t kLanes = 8;
constexpr int64_t kPanel = 2 * kLanes;  // outputs of a panel
constexpr int64_t kRows = 6;            // rows of x in one tile
constexpr int64_t kDepth = 192;  // inputs at a time: that much of a panel, 12 KiB, stays in the first cache

/// c[ROWS,16] += x[ROWS,depth] w[depth,16]. x is interleaved: x[p * ROWS + r]. While it computes, the cache lines
/// [next, next + lines) are fetched: memory works on the following piece of the panel as the processor does on this one.
template <int ROWS>
[[gnu::always_inline]] inline void tile(float* c, int64_t ldc, const float* x, const float* w, int64_t depth,
                                        const float* next, int64_t lines, bool first) {
  Lanes left[ROWS], right[ROWS];
#pragma GCC unroll 6
  for (int r = 0; r < ROWS; ++r) {
    const Lanes* row = reinterpret_cast<const Lanes*>(c + r * ldc);
    left[r] = first ? Lanes{} : row[0];
    right[r] = first ? Lanes{} : row[1];
  }
  for (int64_t p = 0; p < depth; ++p, x += ROWS, w += kPanel) {
    if (p < lines) __builtin_prefetch(next + p * 16, 0, 3);
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
    Lanes* row = reinterpret_cast<Lanes*>(c + r * ldc);
    row[0] = left[r];
    row[1] = right[r];
  }
}

/// Where the tiles of `rows` rows begin: as few as possible, and none much smaller than the others.
int64_t tile_begin(int64_t rows, int64_t tiles, int64_t i) { return rows * i / tiles; }

/// y[rows, first*16 .. last*16) = x W^T for panels [first, last). x interleaved by tiles: tile i begins at begin_i * depth_all.
CALTROP_VECTOR_TARGETS
void multiply_panels(float* y, int64_t ldy, const float* x, int64_t rows, const float* panels,
                     int64_t depth_all, int64_t first, int64_t last) {
  const int64_t tiles = (rows + kRows - 1) / kRows;
  for (int64_t panel = first; panel < last; ++panel) {
    const float* w = panels + panel * depth_all * kPanel;
    for (int64_t k = 0; k < depth_all; k += kDepth) {
      const int64_t depth = std::min(kDepth, depth_all - k);
      // The piece after this one lies right behind it, in this panel or the next.
      const float* next = w + (k + depth) * kPanel;
      const int64_t lines = (depth + tiles - 1) / tiles;
      for (int64_t i = 0; i < tiles; ++i, next += lines * 16) {
        const int64_t begin = tile_begin(rows, tiles, i), count = tile_begin(rows, tiles, i + 1) - begin;
        float* c = y + begin * ldy + panel * kPanel;
        const float* from = x + begin * depth_all + k * count;
        const float* piece = w + k * kPanel;
        switch (count) {
          case 1:
            tile<1>(c, ldy, from, piece, depth, next, lines, k == 0);
            break;
          case 2:
            tile<2>(c, ldy, from, piece, depth, next, lines, k == 0);
            break;
          case 3:
            tile<3>(c, ldy, from, piece, depth, next, lines, k == 0);
            break;
          case 4:
            tile<4>(c, ldy, from, piece, depth, next, lines, k == 0);
            break;
          case 5:
            tile<5>(c, ldy, from, piece, depth, next, lines, k == 0);
            break;
          default:
            tile<6>(c, ldy, from, piece, depth, next, lines, k == 0);
            break;
        }
      }
    }
  }
}

}  // namespace

PackedLinear::PackedLinear(const Tensor& weight) : weight_(weight.detach()) {
  outputs_ = weight.size(0);
  if (!weight.is_cpu() || weight.scalar_type() != at::kFloat) return;
  const at::NoGradGuard no_grad;
  const Tensor rows = weight_.contiguous();
  const int64_t inputs = rows.size(1), panels = (outputs_ + kPanel - 1) / kPanel;
  weight_ = at::empty({panels, inputs, kPanel}, rows.options());
  const float* from = rows.const_data_ptr<float>();
  float* to = weight_.mutable_data_ptr<float>();
  at::parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    for (int64_t panel = first; panel < last; ++panel) {
      for (int64_t p = 0; p < inputs; ++p) {
        for (int64_t j = 0; j < kPanel; ++j) {
          const int64_t output = panel * kPanel + j;
          to[(panel * inputs + p) * kPanel + j] = output < outputs_ ? from[output * inputs + p] : 0.0f;
        }
      }
    }
  });
  packed_ = true;
}

Tensor PackedLinear::operator()(const Tensor& x) const {
  if (!packed_) return apply_linear(x, weight_);
  const Tensor input = x.contiguous();
  const int64_t rows = input.size(0), inputs = input.size(1), panels = weight_.size(0);
  const int64_t tiles = (rows + kRows - 1) / kRows;
  Tensor interleaved = at::empty({rows, inputs}, input.options());
  const float* from = input.const_data_ptr<float>();
  float* to = interleaved.mutable_data_ptr<float>();
  at::parallel_for(0, tiles, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = tile_begin(rows, tiles, i), count = tile_begin(rows, tiles, i + 1) - begin;
      for (int64_t p = 0; p < inputs; ++p) {
        for (int64_t r = 0; r < count; ++r)
          to[begin * inputs + p * count + r] = from[(begin + r) * inputs + p];
      }
    }
  });
  Tensor y = at::empty({rows, panels * kPanel}, input.options());
  at::parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    multiply_panels(y.mutable_data_ptr<float>(), panels * kPanel, to, rows, weight_.const_data_ptr<float>(),
                    inputs, first, last);
  });
  return panels * kPanel == outputs_ ? y : y.narrow(1, 0, outputs_);
}

}  // namespace caltrop
