#include "caltrop/kernels/amx_tiles.h"

#if defined(__x86_64__) && defined(__linux__)
#include <algorithm>
#include <limits>

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace caltrop {

#if defined(__x86_64__) && defined(__linux__)
namespace {

constexpr int64_t kRows = 16, kDepth = 16;  // of a register: 16 rows of 16 words

/// What LDTILECFG reads.
struct alignas(64) Config {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

/// Registers 0 to 3: sums of the upper and the lower sixteen rows, each with the left and the right sixteen outputs; 4 and 5: x of the
/// upper and the lower rows; 6 and 7: the left and the right weights.
Config config_for(int64_t upper, int64_t lower) {
  Config config;
  const int64_t rows[] = {upper, upper, lower, lower, upper, lower, kDepth, kDepth};
  for (size_t i = 0; i < std::size(rows); ++i) {
    config.rows[i] = static_cast<uint8_t>(rows[i]);
    config.row_bytes[i] = rows[i] > 0 ? 64 : 0;
  }
  return config;
}

[[gnu::target("amx-tile,amx-bf16")]] void tile_amx(const TileArguments& t) {
  const int64_t upper = std::min(t.rows, kRows), lower = t.rows - upper;
  const Config config = config_for(upper, lower);
  asm volatile("" : : "r"(&config) : "memory");  // GCC believes that the next line reads eight bytes of it
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  if (lower > 0) {
    _tile_zero(2);
    _tile_zero(3);
  }
  const int64_t x_stride = t.ldx * 4, w_stride = 2 * kDepth * 4, c_stride = t.ldc * 4;
  const int32_t *x = t.x, *w = t.w, *next = t.next, *end = t.next + t.lines * kWordsOfALine;
  for (int64_t p = 0; p < t.depth; p += kDepth, x += kDepth, w += 2 * kDepth * kDepth) {
    for (int64_t line = 0; line < 2 * kDepth && next < end; ++line, next += kWordsOfALine)
      __builtin_prefetch(next, 0, 3);
    _tile_loadd(6, w, w_stride);
    _tile_loadd(7, w + kDepth, w_stride);
    _tile_loadd(4, x, x_stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (lower > 0) {
      _tile_loadd(5, x + kRows * t.ldx, x_stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, t.c, c_stride);
  _tile_stored(1, t.c + kDepth, c_stride);
  if (lower > 0) {
    _tile_stored(2, t.c + kRows * t.ldc, c_stride);
    _tile_stored(3, t.c + kRows * t.ldc + kDepth, c_stride);
  }
  _tile_release();  // other users of the registers, oneDNN, configure them anew
}

/// Linux gives a process these registers, eight kilobytes a thread, when it asks.
bool is_granted() {
  constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         ::syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

constexpr PanelTiles kAmx = {.outputs = 2 * kDepth,
                             .rows = 2 * kRows,
                             .depth = std::numeric_limits<int32_t>::max(),  // the sums stay in registers
                             .multiple = kDepth,
                             .interleaved = false,
                             .multiply = tile_amx};

}  // namespace

const PanelTiles* amx_tiles() {
  static const bool granted = is_granted();
  return granted ? &kAmx : nullptr;
}
#else
const PanelTiles* amx_tiles() { return nullptr; }
#endif

}  // namespace caltrop
