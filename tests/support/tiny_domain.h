// A restricted domain of a few rows, written to a folder.
#pragma once

#include <filesystem>

#include "tests/support/support.h"

namespace caltrop::test {

/// Writes the parts of a domain ("soup" and "bread" are restricted) and returns the path of its domain.yaml.
std::filesystem::path write_tiny_domain(const ScratchFolder& scratch);

/// Gives that domain a part "near", two rows a split.
void add_near_rows(const ScratchFolder& scratch);

}  // namespace caltrop::test
