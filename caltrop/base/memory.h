// How this process takes memory from the system and gives it back.
#pragma once

#include <cstdint>

namespace caltrop {

/// Freed memory stays with the process and is used again. By default glibc returns every block of more than 32 MiB to the
/// system at once, and the same gigabyte of activations, logits and gradients is then mapped and cleared by the kernel page
/// by page in every training step (measured on two cores with SmolLM2: 2.9 s against 2.5 s a step). And it is asked for in pages
/// of 2 MiB, where the kernel gives them on request, as most do: fewer of them to map (on one core 33.1 s against 35.3 s for a run
/// of ten steps), for 5 to 12 % more memory (thirty steps of align on one core: 4.6 GiB against 4.1, 86 s against 101 s).
/// THP_MEM_ALLOC_ENABLE=0 in the environment turns that off. Called first in main.
void keep_freed_memory();

/// Peak resident memory of this process in bytes, since it began or since the last restart_peak_memory().
int64_t peak_memory();

/// Gives what is free back to the system and counts the peak anew, so that a run does not show the memory of the one before it in the
/// same process. Where the kernel does not let a process do this (some sandboxes) the peak stays that of the whole process.
void restart_peak_memory();

}  // namespace caltrop
