// Models of a few thousand parameters with fixed random weights, and batches for them.
#pragma once

#include <memory>

#include "caltrop/model/model.h"
#include "tests/support/support.h"

namespace caltrop::test {

/// A Llama of vocabulary 61, width 24, 2 layers, 4 heads over 2 key-value heads; weights are drawn from
/// `seed`.
std::shared_ptr<Model> tiny_model(uint64_t seed = 0, bool tied = true);

/// The config.json that belongs to it.
Json tiny_config(bool tied = true);

/// Writes a model folder that the program can run: random weights over a vocabulary of 512, the tests' tokenizer, a chat
/// template. Returns `folder`.
std::filesystem::path write_tiny_folder(const std::filesystem::path& folder, uint64_t seed = 1);

/// Largest absolute difference relative to b's largest value; infinite if anything is not finite.
double difference(const Tensor& a, const Tensor& b);

/// Whether every bit is the same.
bool same_bits(const NamedTensors& a, const NamedTensors& b);

/// Deep copies.
NamedTensors copy_of(const NamedTensors& tensors);

}  // namespace caltrop::test
