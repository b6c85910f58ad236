// The one torch header that other headers include. ATen/core/Tensor.h costs 1.6 s a file, torch/torch.h 13 s.
//
// Shapes in comments throughout: B rows (sequences), T time, N = sum of T over a packed batch (no padding), M
// positions with a label, V vocabulary, D width of the residual stream, H heads, K key-value heads, E width
// of a head.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace caltrop {

using at::Tensor;

/// Tensors in a fixed order, each with the name it has in a Hugging Face folder
/// ("model.layers.0.mlp.up_proj.weight").
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

}  // namespace caltrop
