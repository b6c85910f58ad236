#include "caltrop/kernels/decode_attention.h"

#include <cmath>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/kernels/fast_exp.h"
#include "caltrop/kernels/small_gemm.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

/// The queries of one group, [group,width], over `count` cached positions: out = softmax(q K^T / sqrt(E)) V, [group,width].
/// Each key and value is read once for the whole group. `weights` is scratch of group * count floats.
CALTROP_VECTOR_TARGETS
void attend(const float* __restrict queries, const float* __restrict keys, const float* __restrict values,
            int64_t group, int64_t count, int64_t width, float* __restrict weights, float* __restrict out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t g = 0; g < group; ++g) {
      const float* query = queries + g * width;
      float dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t e = 0; e < width; ++e) dot += query[e] * keys[t * width + e];
      weights[g * count + t] = dot * scale;
    }
  }
  for (int64_t g = 0; g < group; ++g) {
    float* row = weights + g * count;
    float highest = row[0], sum = 0;
#pragma omp simd reduction(max : highest)
    for (int64_t t = 0; t < count; ++t) highest = row[t] > highest ? row[t] : highest;
#pragma omp simd reduction(+ : sum)
    for (int64_t t = 0; t < count; ++t) {
      row[t] = fast_exp(row[t] - highest);
      sum += row[t];
    }
    for (int64_t t = 0; t < count; ++t) row[t] /= sum;
  }
  std::memset(out, 0, static_cast<size_t>(group * width) * sizeof(float));
  small_gemm(out, width, weights, count, 1, values, width, group, width, count);
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
  float *all_keys = cache.keys.mutable_data_ptr<float>(),
        *all_values = cache.values.mutable_data_ptr<float>();
  const float *qkv_data = qkv.const_data_ptr<float>(), *cosines = tables.cosine.const_data_ptr<float>(),
              *sines = tables.sine.const_data_ptr<float>();
  float* out_data = out.mutable_data_ptr<float>();
  at::parallel_for(0, active * kv_heads, 1, [&](int64_t first, int64_t last) {
    std::vector<float> weights(static_cast<size_t>(group * context)),
        queries(static_cast<size_t>(group * width));
    for (int64_t task = first; task < last; ++task) {
      const int64_t i = task / kv_heads, kv = task % kv_heads;
      const int64_t length = lengths[static_cast<size_t>(i)];
      const int64_t base = (slots[static_cast<size_t>(i)] * kv_heads + kv) * context * width;
      float *keys = all_keys + base, *values = all_values + base;
      const float* token = qkv_data + i * row;
      const float *cosine = cosines + length * half, *sine = sines + length * half;
      rotate_head(token + (heads + kv) * width, keys + length * width, cosine, sine, half);
      std::memcpy(values + length * width, token + (heads + kv_heads + kv) * width,
                  static_cast<size_t>(width) * sizeof(float));
      for (int64_t g = 0; g < group; ++g)
        rotate_head(token + (kv * group + g) * width, queries.data() + g * width, cosine, sine, half);
      attend(queries.data(), keys, values, group, length + 1, width, weights.data(),
             out_data + (i * heads + kv * group) * width);
    }
  });
  return out;
}

}  // namespace caltrop
