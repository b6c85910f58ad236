// Where the tensors of the CPU live.
#pragma once

namespace caltrop {

/// From now on their memory comes from plain malloc, aligned by hand. libtorch asks for blocks aligned to 64 bytes, for which glibc
/// before 2.38 takes a longer block and hands back what stands over at both ends (bug 14581): the heap fills with slivers, which every
/// later request of megabytes has to search. Called once, before there are tensors.
void allocate_tensors_plainly();

}  // namespace caltrop
