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

/// y[rows, outputs of panels first .. last) = x W^T. Tile i of x begins at begin_i * words, interleaved or not.
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
                       .x = x + begin * words + (kind.interleaved ? k * count : k),
                       .ldx = words,
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

/// The rows of a matrix in words of 32 bits, an fp32 number each or two bf16 ones, zeros added up to a `multiple`. [rows,words] int32.
Tensor in_words(const Tensor& matrix, int64_t multiple) {
  const int64_t numbers = matrix.scalar_type() == at::kFloat ? multiple : 2 * multiple;
  const int64_t missing = (numbers - matrix.size(1) % numbers) % numbers;
  return (missing == 0 ? matrix : at::constant_pad_nd(matrix, {0, missing})).contiguous().view(at::kInt);
}

/// [rows,words] by tiles: in each, the first words of all its rows, then the second ones, ….
Tensor interleaved(const Tensor& input, const PanelTiles& kind) {
  const int64_t rows = input.size(0), words = input.size(1), tiles = (rows + kind.rows - 1) / kind.rows;
  Tensor turned = at::empty({rows, words}, input.options());
  const int32_t* from = input.const_data_ptr<int32_t>();
  int32_t* to = turned.mutable_data_ptr<int32_t>();
  at::parallel_for(0, tiles, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = tile_begin(rows, tiles, i), count = tile_begin(rows, tiles, i + 1) - begin;
      for (int64_t p = 0; p < words; ++p) {
        for (int64_t r = 0; r < count; ++r) to[begin * words + p * count + r] = from[(begin + r) * words + p];
      }
    }
  });
  return turned;
}

}  // namespace

PackedLinear::PackedLinear(const Tensor& weight)
    : PackedLinear(weight, weight.is_cpu() ? panel_tiles(weight.scalar_type()) : nullptr) {}

PackedLinear::PackedLinear(const Tensor& weight, const PanelTiles* tiles)
    : weight_(weight.detach()), outputs_(weight.size(0)), dtype_(weight.scalar_type()), tiles_(tiles) {
  if (tiles == nullptr) return;
  const at::NoGradGuard no_grad;
  const Tensor rows = in_words(weight_, tiles->multiple);
  const int64_t words = rows.size(1), width = tiles->outputs, panels = (outputs_ + width - 1) / width;
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
}

Tensor PackedLinear::operator()(const Tensor& x) const {
  if (tiles_ == nullptr) return apply_linear(x.to(dtype_), weight_).to(x.scalar_type());
  const PanelTiles& kind = *tiles_;
  const Tensor input = in_words(x.to(dtype_), kind.multiple),
               tiled = kind.interleaved ? interleaved(input, kind) : input;
  const int64_t rows = input.size(0), words = input.size(1), panels = weight_.size(0);
  Tensor y = at::empty({rows, panels * kind.outputs}, input.options().dtype(at::kFloat));
  at::parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    multiply_panels(kind, y.mutable_data_ptr<float>(), panels * kind.outputs, tiled.const_data_ptr<int32_t>(),
                    rows, weight_.const_data_ptr<int32_t>(), words, first, last);
  });
  const Tensor kept = panels * kind.outputs == outputs_ ? y : y.narrow(1, 0, outputs_).contiguous();
  return kept.to(x.scalar_type());
}

}  // namespace caltrop
