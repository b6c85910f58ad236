// Two things that both file formats need: a tensor over mapped bytes, and a guess at what a wrong file is.
// Tested through tests/io/safetensors_test.cc and tests/io/gguf_test.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "caltrop/base/files.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

/// A CPU tensor over the bytes of `file` from `begin` on, which keeps the mapping alive; a copy if they are
/// not aligned to the dtype's size. REQUIRES the range to lie within the file.
Tensor mapped_tensor(std::shared_ptr<const MappedFile> file, uint64_t begin,
                     const std::vector<int64_t>& shape, at::ScalarType dtype);

/// The product of the dimensions, or nullopt if one is negative or the product exceeds int64.
std::optional<int64_t> checked_count(const std::vector<int64_t>& shape);

/// What a file that is not what it should be looks like, as the end of a message: "; it is a Git LFS pointer
/// …", or "" if its first bytes tell nothing.
std::string likely_cause(const MappedFile& file);

}  // namespace caltrop
