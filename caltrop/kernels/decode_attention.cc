#include "caltrop/kernels/decode_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "caltrop/kernels/attention.h"
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

/// All sequences at once over caches cut to the longest, what a shorter one does not have masked out.
Tensor together(const Tensor& qkv, const LayerCache& cache, const DecodePlaces& places, int64_t heads,
                int64_t kv_heads) {
  const int64_t width = cache.keys.size(3), active = qkv.size(0);
  const Tensor split = qkv.view({active, heads + 2 * kv_heads, width});
  const Tensor rotated = rotate(split.narrow(1, 0, heads + kv_heads), places.rotations);
  const auto with_new = [&](const Tensor& all, const Tensor& fresh) {  // -> [A,K,longest+1,E]
    all.transpose(1, 2).index_put_({places.slot_index, places.position}, fresh);
    return all.narrow(2, 0, places.longest + 1).index_select(0, places.slot_index);
  };
  const Tensor keys = with_new(cache.keys, rotated.narrow(1, heads, kv_heads)),
               values = with_new(cache.values, split.narrow(1, heads + kv_heads, kv_heads));
  // The queries of a group are the rows of one small attention over the keys that they share.
  const Tensor queries = rotated.narrow(1, 0, heads).reshape({active, kv_heads, heads / kv_heads, width});
  const Tensor mask = places.mask.expand({active, kv_heads, heads / kv_heads, places.longest + 1});
  return fused_attention(queries, keys, values, mask).reshape({active, heads * width});
}

}  // namespace

DecodePlaces::DecodePlaces(std::vector<int64_t> slots_in, std::vector<int64_t> lengths_in,
                           const RotaryTables& tables, at::ScalarType dtype)
    : slots(std::move(slots_in)),
      lengths(std::move(lengths_in)),
      longest(*std::max_element(lengths.begin(), lengths.end())) {
  const at::Device device = tables.cosine.device();
  const auto on_device = [&](const std::vector<int64_t>& v) { return at::tensor(v, at::kLong).to(device); };
  slot_index = on_device(slots), position = on_device(lengths);
  if (device.is_cpu() && dtype == at::kFloat) return;  // the loop reads lengths and tables
  rotations = caltrop::rotations(tables, position, dtype);
  const Tensor visible = at::arange(longest + 1, position.options()).unsqueeze(0) <= position.unsqueeze(1);
  mask = additive_mask(visible.view({-1, 1, 1, longest + 1}), dtype);
}

Tensor decode_attention(const Tensor& qkv, const LayerCache& cache, const DecodePlaces& places,
                        const RotaryTables& tables, int64_t heads, int64_t kv_heads) {
  if (!qkv.is_cpu() || qkv.scalar_type() != at::kFloat) return together(qkv, cache, places, heads, kv_heads);
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
      const int64_t length = places.lengths[static_cast<size_t>(i)];
      const int64_t base = (places.slots[static_cast<size_t>(i)] * kv_heads + kv) * context * width;
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
