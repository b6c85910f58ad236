#include "caltrop/kernels/packed_linear.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/kernels/linear.h"
#include "caltrop/kernels/panel_tiles.h"

namespace caltrop {
namespace {

/// Where the tiles of `rows` rows begin: as few as possible, and none much smaller than the others.
int64_t tile_begin(int64_t rows, int64_t tiles, int64_t i) { return rows * i / tiles; }

/// y[rows, outputs of panels first .. last) = x W^T. x interleaved by tiles: tile i begins at begin_i * words.
void multiply_panels(const PanelTiles& kind, float* y, int64_t ldy, const int32_t* x, int64_t rows,
                     const int32_t* panels, int64_t words, int64_t first, int64_t last) {
  const int64_t tiles = (rows + kind.rows - 1) / kind.rows;
  for (int64_t panel = first; panel < last; ++panel) {
    const int32_t* w = panels + panel * words * kind.outputs;
    for (int64_t k = 0; k < words; k += kind.depth) {
      const int64_t depth = std::min(kind.depth, words - k);
      const int32_t* piece = w + k * kind.outputs;
      // The piece after this one lies right behind it, in this panel or the next; each tile has a share of it fetched.
      const int32_t* next = piece + depth * kind.outputs;
      const int64_t lines = (depth * kind.outputs / kWordsOfALine + tiles - 1) / tiles;
      for (int64_t i = 0; i < tiles; ++i, next += lines * kWordsOfALine) {
        const int64_t begin = tile_begin(rows, tiles, i), count = tile_begin(rows, tiles, i + 1) - begin;
        kind.multiply({.c = y + begin * ldy + panel * kind.outputs,
                       .ldc = ldy,
                       .x = x + begin * words + k * count,
                       .w = piece,
                       .rows = count,
                       .depth = depth,
                       .next = next,
                       .lines = lines,
                       .first = k == 0});
      }
    }
  }
}

/// The rows of a matrix in words of 32 bits: an fp32 number each, or two bf16 ones, a zero added to an odd row. [rows,words] int32.
Tensor in_words(const Tensor& matrix) {
  if (matrix.scalar_type() == at::kFloat) return matrix.contiguous().view(at::kInt);
  const Tensor even = matrix.size(1) % 2 == 0 ? matrix : at::constant_pad_nd(matrix, {0, 1});
  return even.contiguous().view(at::kInt);
}

}  // namespace

PackedLinear::PackedLinear(const Tensor& weight)
    : weight_(weight.detach()), outputs_(weight.size(0)), dtype_(weight.scalar_type()) {
  const PanelTiles* kind = weight.is_cpu() ? panel_tiles(dtype_) : nullptr;
  if (kind == nullptr) return;
  const at::NoGradGuard no_grad;
  const Tensor rows = in_words(weight_);
  const int64_t words = rows.size(1), width = kind->outputs, panels = (outputs_ + width - 1) / width;
  weight_ = at::empty({panels, words, width}, rows.options());
  const int32_t* from = rows.const_data_ptr<int32_t>();
  int32_t* to = weight_.mutable_data_ptr<int32_t>();
  at::parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    for (int64_t panel = first; panel < last; ++panel) {
      for (int64_t p = 0; p < words; ++p) {
        for (int64_t j = 0; j < width; ++j) {
          const int64_t output = panel * width + j;
          to[(panel * words + p) * width + j] = output < outputs_ ? from[output * words + p] : 0;
        }
      }
    }
  });
  packed_ = true;
}

Tensor PackedLinear::operator()(const Tensor& x) const {
  if (!packed_) return apply_linear(x.to(dtype_), weight_).to(x.scalar_type());
  const PanelTiles& kind = *panel_tiles(dtype_);
  const Tensor input = in_words(x.to(dtype_));
  const int64_t rows = input.size(0), words = input.size(1), panels = weight_.size(0);
  const int64_t tiles = (rows + kind.rows - 1) / kind.rows;
  Tensor interleaved = at::empty({rows, words}, input.options());
  const int32_t* from = input.const_data_ptr<int32_t>();
  int32_t* to = interleaved.mutable_data_ptr<int32_t>();
  at::parallel_for(0, tiles, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = tile_begin(rows, tiles, i), count = tile_begin(rows, tiles, i + 1) - begin;
      for (int64_t p = 0; p < words; ++p) {
        for (int64_t r = 0; r < count; ++r) to[begin * words + p * count + r] = from[(begin + r) * words + p];
      }
    }
  });
  Tensor y = at::empty({rows, panels * kind.outputs}, input.options().dtype(at::kFloat));
  at::parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    multiply_panels(kind, y.mutable_data_ptr<float>(), panels * kind.outputs, to, rows,
                    weight_.const_data_ptr<int32_t>(), words, first, last);
  });
  const Tensor kept = panels * kind.outputs == outputs_ ? y : y.narrow(1, 0, outputs_).contiguous();
  return kept.to(x.scalar_type());
}

}  // namespace caltrop
