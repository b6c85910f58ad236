// The inner loop of PackedLinear (packed_linear.h): a tile of a few rows times a piece of a panel of weights.
#pragma once

#include <cstdint>

#include "caltrop/tensor/tensor.h"

namespace caltrop {

constexpr int64_t kWordsOfALine = 16;  // 64 bytes of cache

/// c[rows,outputs] (+)= x w over `depth` words of 32 bits; a word is one fp32 number, or two bf16 ones that follow each other.
struct TileArguments {
  float* c;
  int64_t ldc;
  const int32_t* x;  // word p of row r is x[p * rows + r] if interleaved, else x[r * ldx + p]
  int64_t ldx;
  const int32_t* w;  // [depth,outputs]
  int64_t rows, depth;
  // [next, next + lines) are cache lines to be fetched meanwhile: memory works on the following piece as the processor does on this.
  const int32_t* next;
  int64_t lines;
  bool first;  // c is not read
};

struct PanelTiles {
  int64_t outputs;   // of a panel
  int64_t rows;      // of a tile, at most
  int64_t depth;     // words at a time: that much of a panel, 12 KiB, stays in the first cache
  int64_t multiple;  // of which the words of a row are one, zeros added
  bool interleaved;  // how it wants x
  void (*multiply)(const TileArguments&);
};

/// For weights of this dtype on this processor; null where there is nothing better than ATen.
const PanelTiles* panel_tiles(at::ScalarType dtype);

/// Those by AVX-512 BF16; null where the processor has it not.
const PanelTiles* avx512_bf16_tiles();

}  // namespace caltrop
