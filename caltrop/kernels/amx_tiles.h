// Tiles of bf16 weights by Intel's AMX, whose registers are matrices: one instruction multiplies [16,32] by [32,16].
// Tested by tests/kernels/packed_linear_test.cc.
#pragma once

#include "caltrop/kernels/panel_tiles.h"

namespace caltrop {

/// Null where the processor has none, or the kernel does not give it to us.
const PanelTiles* amx_tiles();

}  // namespace caltrop
