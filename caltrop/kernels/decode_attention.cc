#include "caltrop/kernels/decode_attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/kernels/fast_exp.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

/// One query over `count` cached positions: out = softmax(q K^T / sqrt(E)) V. `weights` is scratch of `count`
/// floats.
CALTROP_VECTOR_TARGETS
void attend(const float* __restrict query, const float* __restrict keys, const float* __restrict values,
            int64_t count, int64_t width, float* __restrict weights, float* __restrict out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  float highest = -std::numeric_limits<float>::infinity();
  for (int64_t t = 0; t < count; ++t) {
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t e = 0; e < width; ++e) dot += query[e] * keys[t * width + e];
    weights[t] = dot * scale;
    highest = std::max(highest, weights[t]);
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t t = 0; t < count; ++t) {
    weights[t] = fast_exp(weights[t] - highest);
    sum += weights[t];
  }
  std::memset(out, 0, static_cast<size_t>(width) * sizeof(float));
  for (int64_t t = 0; t < count; ++t) {
    const float w = weights[t] / sum;
    for (int64_t e = 0; e < width; ++e) out[e] += w * values[t * width + e];
  }
}

void rotate_head(const float* from, float* to, const float* cosine, const float* sine, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    to[i] = from[i] * cosine[i] - from[i + half] * sine[i];
    to[i + half] = from[i + half] * cosine[i] + from[i] * sine[i];
  }
}

Tensor plain(const Tensor& qkv, const LayerCache& cache, const std::vector<int64_t>& slots,
             const std::vector<int64_t>& lengths, const RotaryTables& tables, int64_t heads,
             int64_t kv_heads) {
  const int64_t width = cache.keys.size(3), active = qkv.size(0);
  const Tensor split = qkv.view({active, heads + 2 * kv_heads, width});
  const Tensor positions = at::tensor(lengths, at::kLong).to(qkv.device());
  const Tensor rotated = rotate(split.narrow(1, 0, heads + kv_heads), positions, tables);
  std::vector<Tensor> outputs;
  for (int64_t i = 0; i < active; ++i) {
    const auto at_i = static_cast<size_t>(i);
    const Tensor keys = cache.keys[slots[at_i]], values = cache.values[slots[at_i]];  // [K,context,E]
    keys.select(1, lengths[at_i]).copy_(rotated[i].narrow(0, heads, kv_heads));
    values.select(1, lengths[at_i]).copy_(split[i].narrow(0, heads + kv_heads, kv_heads));
    const Tensor q = rotated[i].narrow(0, 0, heads).view({kv_heads, heads / kv_heads, width});
    const Tensor k = keys.narrow(1, 0, lengths[at_i] + 1), v = values.narrow(1, 0, lengths[at_i] + 1);
    const Tensor scores =
        at::matmul(q, k.transpose(1, 2)).to(at::kFloat) / std::sqrt(static_cast<double>(width));
    outputs.push_back(at::matmul(at::softmax(scores, -1).to(v.scalar_type()), v).view({1, heads * width}));
  }
  return at::cat(outputs);
}

}  // namespace

Tensor decode_attention(const Tensor& qkv, const LayerCache& cache, const std::vector<int64_t>& slots,
                        const std::vector<int64_t>& lengths, const RotaryTables& tables, int64_t heads,
                        int64_t kv_heads) {
  if (!qkv.is_cpu() || qkv.scalar_type() != at::kFloat)
    return plain(qkv, cache, slots, lengths, tables, heads, kv_heads);
  const int64_t active = qkv.size(0), width = cache.keys.size(3), context = cache.keys.size(2),
                half = width / 2;
  const int64_t group = heads / kv_heads, row = (heads + 2 * kv_heads) * width;
  Tensor out = at::empty({active, heads * width}, qkv.options());
  at::parallel_for(0, active * kv_heads, 1, [&](int64_t first, int64_t last) {
    std::vector<float> weights(static_cast<size_t>(context)), query(static_cast<size_t>(width));
    for (int64_t task = first; task < last; ++task) {
      const int64_t i = task / kv_heads, kv = task % kv_heads;
      const int64_t length = lengths[static_cast<size_t>(i)];
      const int64_t base = (slots[static_cast<size_t>(i)] * kv_heads + kv) * context * width;
      float *keys = cache.keys.mutable_data_ptr<float>() + base,
            *values = cache.values.mutable_data_ptr<float>() + base;
      const float* token = qkv.const_data_ptr<float>() + i * row;
      const float *cosine = tables.cosine.const_data_ptr<float>() + length * half,
                  *sine = tables.sine.const_data_ptr<float>() + length * half;
      rotate_head(token + (heads + kv) * width, keys + length * width, cosine, sine, half);
      std::memcpy(values + length * width, token + (heads + kv_heads + kv) * width,
                  static_cast<size_t>(width) * sizeof(float));
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        rotate_head(token + h * width, query.data(), cosine, sine, half);
        attend(query.data(), keys, values, length + 1, width, weights.data(),
               out.mutable_data_ptr<float>() + (i * heads + h) * width);
      }
    }
  });
  return out;
}

}  // namespace caltrop
