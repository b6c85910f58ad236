// How this process takes memory from the system and gives it back.
#pragma once

#include <cstdint>

namespace caltrop {

/// Freed memory stays with the process and is used again. By default glibc returns every block of more than 32 MiB to the
/// system at once, and the same gigabyte of activations, logits and gradients is then mapped and cleared by the kernel page
/// by page in every training step (measured on two cores with SmolLM2: 2.9 s against 2.5 s a step). Pages of 2 MiB (libtorch's
/// THP_MEM_ALLOC_ENABLE) are not asked for: they come with blocks aligned to 2 MiB, which glibc before 2.38 cannot fit into what such
/// a block has left behind (bug 14581), and repnoise grew from 4.8 GiB to 19.4 in 28 steps; without them it stays at 5.8, and no slower.
/// Called first in main.
void keep_freed_memory();

/// Peak resident memory of this process in bytes, since it began or since the last restart_peak_memory().
int64_t peak_memory();

/// Gives what is free back to the system and counts the peak anew, so that a run does not show the memory of the one before it in the
/// same process. Where the kernel does not let a process do this (some sandboxes) the peak stays that of the whole process.
void restart_peak_memory();

}  // namespace caltrop
