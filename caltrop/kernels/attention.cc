#include "caltrop/kernels/attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "caltrop/base/error.h"
#include "caltrop/kernels/fast_exp.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/kernels/small_gemm.h"
#include "caltrop/kernels/vector_target.h"

namespace caltrop {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct Range {
  int64_t begin, length;
};

/// The token ranges that a segment's keys come from: its ancestors from the root down, then itself.
std::vector<Range> key_ranges(const std::vector<Segment>& segments, size_t index) {
  std::vector<Range> ranges;
  for (auto i = static_cast<int64_t>(index); i >= 0; i = segments[static_cast<size_t>(i)].parent) {
    const Segment& segment = segments[static_cast<size_t>(i)];
    ranges.insert(ranges.begin(), {segment.begin, segment.length});
  }
  return ranges;
}

int64_t round_up(int64_t n) { return (n + 15) / 16 * 16; }

/// Rotates the heads of one token; `sign` -1 rotates back, which is the gradient of rotating.
CALTROP_VECTOR_TARGETS
void rotate_token(const float* __restrict from, float* __restrict to, int64_t to_head_stride,
                  const float* __restrict cosine, const float* __restrict sine, int64_t heads, int64_t half,
                  float sign) {
  for (int64_t h = 0; h < heads; ++h, from += 2 * half, to += to_head_stride) {
    for (int64_t i = 0; i < half; ++i) {
      to[i] = from[i] * cosine[i] - sign * from[i + half] * sine[i];
      to[i + half] = from[i + half] * cosine[i] + sign * from[i] * sine[i];
    }
  }
}

/// softmax over the first `visible` of `width` scores scaled by `scale`; the rest become 0. Returns
/// log-sum-exp.
CALTROP_VECTOR_TARGETS
float softmax_row(float* __restrict row, int64_t visible, int64_t width, float scale) {
  float highest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : highest)
  for (int64_t j = 0; j < visible; ++j) highest = row[j] > highest ? row[j] : highest;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < visible; ++j) {
    row[j] = fast_exp((row[j] - highest) * scale);
    sum += row[j];
  }
  const float inverse = 1.0f / sum;
  for (int64_t j = 0; j < visible; ++j) row[j] *= inverse;
  for (int64_t j = visible; j < width; ++j) row[j] = 0;
  return highest * scale + std::log(sum);
}

/// p = exp(score * scale - lse), then score := p * (dp - delta) * scale, over the visible part; zero beyond.
CALTROP_VECTOR_TARGETS
void softmax_row_backward(float* __restrict score, float* __restrict p, const float* __restrict dp,
                          int64_t visible, int64_t width, float scale, float lse, float delta) {
  for (int64_t j = 0; j < visible; ++j) {
    p[j] = fast_exp(score[j] * scale - lse);
    score[j] = p[j] * (dp[j] - delta) * scale;
  }
  for (int64_t j = visible; j < width; ++j) p[j] = score[j] = 0;
}

CALTROP_VECTOR_TARGETS
float dot(const float* __restrict a, const float* __restrict b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// Keys or values of one head gathered over ranges of tokens: rows [T,E] as they are, and their transpose
/// [E,T'].
struct Gathered {
  std::vector<float> rows, columns;
  int64_t count = 0, padded = 0;

  void gather(const float* head, const std::vector<Range>& ranges, int64_t width, bool transposed) {
    count = 0;
    for (const Range& range : ranges) count += range.length;
    padded = round_up(count);
    rows.resize(static_cast<size_t>(count * width));
    float* out = rows.data();
    for (const Range& range : ranges) {
      std::memcpy(out, head + range.begin * width, static_cast<size_t>(range.length * width) * sizeof(float));
      out += range.length * width;
    }
    if (!transposed) return;
    columns.assign(static_cast<size_t>(padded * width), 0.0f);
    for (int64_t t = 0; t < count; ++t) {
      for (int64_t e = 0; e < width; ++e)
        columns[static_cast<size_t>(e * padded + t)] = rows[static_cast<size_t>(t * width + e)];
    }
  }
};

struct PackedAttention : Function<PackedAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const PackedTokens& tokens, const RotaryTables& tables, int64_t heads,
                        int64_t kv_heads) {
    const int64_t n = tokens.count(), width = q.size(1) / heads, half = width / 2;
    // Head-major copies, rotated on the way: each (segment, head) then works on contiguous rows.
    Tensor qh = at::empty({heads, n, width}, q.options()), kh = at::empty({kv_heads, n, width}, q.options());
    Tensor vh = v.view({n, kv_heads, width}).transpose(0, 1).contiguous();
    const Tensor q_in = q.contiguous(), k_in = k.contiguous();
    const int64_t* position = tokens.positions.const_data_ptr<int64_t>();
    const float *cosine = tables.cosine.const_data_ptr<float>(), *sine = tables.sine.const_data_ptr<float>();
    at::parallel_for(0, n, 16, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const float *c = cosine + position[t] * half, *s = sine + position[t] * half;
        rotate_token(q_in.const_data_ptr<float>() + t * heads * width,
                     qh.mutable_data_ptr<float>() + t * width, n * width, c, s, heads, half, 1);
        rotate_token(k_in.const_data_ptr<float>() + t * kv_heads * width,
                     kh.mutable_data_ptr<float>() + t * width, n * width, c, s, kv_heads, half, 1);
      }
    });

    Tensor out = at::empty({n, heads * width}, q.options()), lse = at::empty({heads, n}, q.options());
    const float scale = 1.0f / std::sqrt(static_cast<float>(width));
    const int64_t group = heads / kv_heads, segments = static_cast<int64_t>(tokens.segments.size());
    at::parallel_for(0, segments * kv_heads, 1, [&](int64_t first, int64_t last) {
      Gathered keys, values;
      std::vector<float> scores;
      for (int64_t task = first; task < last; ++task) {
        const int64_t kv = task % kv_heads;
        const Segment& segment = tokens.segments[static_cast<size_t>(task / kv_heads)];
        const auto ranges = key_ranges(tokens.segments, static_cast<size_t>(task / kv_heads));
        keys.gather(kh.const_data_ptr<float>() + kv * n * width, ranges, width, true);
        values.gather(vh.const_data_ptr<float>() + kv * n * width, ranges, width, false);
        for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
          const float* query = qh.const_data_ptr<float>() + (h * n + segment.begin) * width;
          scores.assign(static_cast<size_t>(segment.length * keys.padded), 0.0f);
          small_gemm(scores.data(), keys.padded, query, width, 1, keys.columns.data(), keys.padded,
                     segment.length, keys.padded, width);
          float* log_sum = lse.mutable_data_ptr<float>() + h * n + segment.begin;
          for (int64_t i = 0; i < segment.length; ++i) {
            log_sum[i] = softmax_row(scores.data() + i * keys.padded, keys.count - segment.length + i + 1,
                                     keys.padded, scale);
          }
          float* o = out.mutable_data_ptr<float>() + segment.begin * heads * width + h * width;
          for (int64_t i = 0; i < segment.length; ++i)
            std::memset(o + i * heads * width, 0, static_cast<size_t>(width) * sizeof(float));
          small_gemm(o, heads * width, scores.data(), keys.padded, 1, values.rows.data(), width,
                     segment.length, width, keys.count);
        }
      }
    });
    context->save_for_backward({qh, kh, vh, out, lse, tokens.positions, tables.cosine, tables.sine});
    std::vector<int64_t> flat;
    for (const Segment& s : tokens.segments)
      flat.insert(flat.end(), {s.begin, s.length, s.parent, s.first_position});
    context->saved_data["segments"] = flat;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_double_backward("packed_attention");
    const variable_list saved = context->get_saved_variables();
    const Tensor &qh = saved[0], &kh = saved[1], &vh = saved[2], &out = saved[3], &lse = saved[4];
    const auto flat = context->saved_data["segments"].toIntVector();
    std::vector<Segment> segments;
    for (size_t i = 0; i < flat.size(); i += 4)
      segments.push_back({flat[i], flat[i + 1], flat[i + 2], flat[i + 3]});
    const int64_t heads = qh.size(0), kv_heads = kh.size(0), n = qh.size(1), width = qh.size(2),
                  half = width / 2;
    const int64_t group = heads / kv_heads;
    const float scale = 1.0f / std::sqrt(static_cast<float>(width));
    const Tensor dout = gradients[0].contiguous();

    // One gradient of keys and values a query head: heads run in parallel, and segments that share a parent
    // add in order.
    Tensor dqh = at::zeros_like(qh), dkh = at::zeros_like(qh), dvh = at::zeros_like(qh);
    at::parallel_for(0, heads, 1, [&](int64_t first, int64_t last) {
      Gathered keys, values;
      std::vector<float> scores, p, dp, dk, dv;
      for (int64_t h = first; h < last; ++h) {
        for (size_t index = 0; index < segments.size(); ++index) {
          const Segment& segment = segments[index];
          const auto ranges = key_ranges(segments, index);
          keys.gather(kh.const_data_ptr<float>() + h / group * n * width, ranges, width, true);
          values.gather(vh.const_data_ptr<float>() + h / group * n * width, ranges, width, true);
          const int64_t length = segment.length, padded = keys.padded, count = keys.count;
          const float* query = qh.const_data_ptr<float>() + (h * n + segment.begin) * width;
          const float* d_o = dout.const_data_ptr<float>() + segment.begin * heads * width + h * width;
          const float* o = out.const_data_ptr<float>() + segment.begin * heads * width + h * width;
          const auto area = static_cast<size_t>(length * padded), side = static_cast<size_t>(count * width);
          scores.assign(area, 0.0f), dp.assign(area, 0.0f), p.resize(area), dk.assign(side, 0.0f),
              dv.assign(side, 0.0f);
          small_gemm(scores.data(), padded, query, width, 1, keys.columns.data(), padded, length, padded,
                     width);
          small_gemm(dp.data(), padded, d_o, heads * width, 1, values.columns.data(), padded, length, padded,
                     width);
          for (int64_t i = 0; i < length; ++i) {
            softmax_row_backward(scores.data() + i * padded, p.data() + i * padded, dp.data() + i * padded,
                                 count - length + i + 1, padded, scale,
                                 lse.const_data_ptr<float>()[h * n + segment.begin + i],
                                 dot(d_o + i * heads * width, o + i * heads * width, width));
          }
          small_gemm(dqh.mutable_data_ptr<float>() + (h * n + segment.begin) * width, width, scores.data(),
                     padded, 1, keys.rows.data(), width, length, width, count);
          small_gemm(dk.data(), width, scores.data(), 1, padded, query, width, count, width, length);
          small_gemm(dv.data(), width, p.data(), 1, padded, d_o, heads * width, count, width, length);
          int64_t from = 0;
          for (const Range& range : ranges) {
            float* to_k = dkh.mutable_data_ptr<float>() + (h * n + range.begin) * width;
            float* to_v = dvh.mutable_data_ptr<float>() + (h * n + range.begin) * width;
            for (int64_t i = 0; i < range.length * width; ++i) {
              to_k[i] += dk[static_cast<size_t>(from + i)];
              to_v[i] += dv[static_cast<size_t>(from + i)];
            }
            from += range.length * width;
          }
        }
      }
    });

    const Tensor dk_sum =
        dkh.view({kv_heads, group, n, width}).sum(1).transpose(0, 1).contiguous();  // [N,K,E]
    const Tensor dq_tokens = dqh.transpose(0, 1).contiguous();                      // [N,H,E]
    const Tensor dv =
        dvh.view({kv_heads, group, n, width}).sum(1).transpose(0, 1).reshape({n, kv_heads * width});
    Tensor dq = at::empty({n, heads * width}, qh.options()),
           dk = at::empty({n, kv_heads * width}, qh.options());
    const int64_t* position = saved[5].const_data_ptr<int64_t>();
    const float *cosine = saved[6].const_data_ptr<float>(), *sine = saved[7].const_data_ptr<float>();
    at::parallel_for(0, n, 16, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const float *c = cosine + position[t] * half, *s = sine + position[t] * half;
        rotate_token(dq_tokens.const_data_ptr<float>() + t * heads * width,
                     dq.mutable_data_ptr<float>() + t * heads * width, width, c, s, heads, half, -1);
        rotate_token(dk_sum.const_data_ptr<float>() + t * kv_heads * width,
                     dk.mutable_data_ptr<float>() + t * kv_heads * width, width, c, s, kv_heads, half, -1);
      }
    });
    return {dq, dk, dv, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct RotateSwapped : Function<RotateSwapped> {
  static Tensor swapped(const Tensor& x) { return at::roll(x, x.size(-1) / 2, -1); }

  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cosine, const Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return at::addcmul(x * cosine, swapped(x), sine);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_double_backward("rotate");
    const variable_list saved = context->get_saved_variables();
    const Tensor& dy = gradients[0];
    return {at::addcmul(swapped(dy * saved[1]), dy, saved[0]), Tensor(), Tensor()};
  }
};

/// The same by ATen's fused attention, over all segments at once.
Tensor masked_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& tokens,
                        const RotaryTables& tables, int64_t heads, int64_t kv_heads) {
  if (!tokens.mask.defined())
    return masked_attention(q, k, v, prepare(tokens, tables, q.scalar_type()), tables, heads, kv_heads);
  const int64_t n = tokens.count(), width = q.size(1) / heads, group = heads / kv_heads;
  const auto rotated = [&](const Tensor& x, int64_t count) {
    return rotate(x.view({n, count, width}), tokens.rotations);
  };
  const auto by_head = [&](const Tensor& x, int64_t copies) {  // [N,heads,E] -> [1,H,N,E]
    return x.unsqueeze(2).expand({n, x.size(1), copies, width}).reshape({1, n, heads, width}).transpose(1, 2);
  };
  return fused_attention(by_head(rotated(q, heads), 1), by_head(rotated(k, kv_heads), group),
                         by_head(v.view({n, kv_heads, width}), group), tokens.mask)
      .transpose(1, 2)
      .reshape({n, heads * width});
}

/// The same by ATen's plain operators, segment by segment.
Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& tokens,
                       const RotaryTables& tables, int64_t heads, int64_t kv_heads) {
  const int64_t n = tokens.count(), width = q.size(1) / heads, group = heads / kv_heads;
  const Tensor qr = rotate(q.view({n, heads, width}), tokens.positions, tables);
  const Tensor kr = rotate(k.view({n, kv_heads, width}), tokens.positions, tables);
  const Tensor vr = v.view({n, kv_heads, width});
  std::vector<Tensor> outputs;
  for (size_t index = 0; index < tokens.segments.size(); ++index) {
    const Segment& segment = tokens.segments[index];
    std::vector<Tensor> key_parts, value_parts;
    for (const Range& range : key_ranges(tokens.segments, index)) {
      key_parts.push_back(kr.narrow(0, range.begin, range.length));
      value_parts.push_back(vr.narrow(0, range.begin, range.length));
    }
    const Tensor keys = at::cat(key_parts).repeat_interleave(group, 1).permute({1, 2, 0});   // [H,E,Tk]
    const Tensor values = at::cat(value_parts).repeat_interleave(group, 1).transpose(0, 1);  // [H,Tk,E]
    const Tensor queries = qr.narrow(0, segment.begin, segment.length).transpose(0, 1);      // [H,Tq,E]
    const int64_t before = keys.size(2) - segment.length;
    const Tensor hidden =
        at::ones({segment.length, keys.size(2)}, q.options().dtype(at::kBool)).triu(before + 1);
    const Tensor scores = at::matmul(queries, keys).to(at::kFloat) / std::sqrt(static_cast<double>(width));
    const Tensor weights =
        at::softmax(scores.masked_fill(hidden, -std::numeric_limits<float>::infinity()), -1);
    outputs.push_back(at::matmul(weights.to(values.scalar_type()), values)
                          .transpose(0, 1)
                          .reshape({segment.length, heads * width}));
  }
  return at::cat(outputs);
}

}  // namespace

RotaryTables rotary_tables(const Tensor& inverse_frequencies, int64_t positions) {
  const Tensor angles = at::outer(at::arange(positions, inverse_frequencies.options()), inverse_frequencies);
  return {angles.cos().to(at::kFloat), angles.sin().to(at::kFloat)};
}

Tensor rotate(const Tensor& x, const Tensor& positions, const RotaryTables& tables) {
  const Tensor cosine =
      tables.cosine.index_select(0, positions).unsqueeze(1).to(x.scalar_type());  // [N,1,E/2]
  const Tensor sine = tables.sine.index_select(0, positions).unsqueeze(1).to(x.scalar_type());
  const auto halves = x.chunk(2, -1);
  return at::cat({halves[0] * cosine - halves[1] * sine, halves[1] * cosine + halves[0] * sine}, -1);
}

Rotations rotations(const RotaryTables& tables, const Tensor& positions, at::ScalarType dtype) {
  const Tensor cosine = tables.cosine.index_select(0, positions).to(dtype),
               sine = tables.sine.index_select(0, positions).to(dtype);  // [N,E/2]
  return {at::cat({cosine, cosine}, 1).unsqueeze(1), at::cat({-sine, sine}, 1).unsqueeze(1)};
}

Tensor rotate(const Tensor& x, const Rotations& rotations) {
  return RotateSwapped::apply(x, rotations.cosine, rotations.sine);
}

Tensor additive_mask(const Tensor& visible, at::ScalarType dtype) {
  std::vector<int64_t> shape = visible.sizes().vec();
  const int64_t width = shape.back();
  shape.back() = round_up(width);
  Tensor mask = at::zeros(shape, visible.options().dtype(dtype)).narrow(-1, 0, width);
  return mask.masked_fill_(visible.logical_not(), -std::numeric_limits<double>::infinity());
}

PackedTokens prepare(PackedTokens tokens, const RotaryTables& tables, at::ScalarType dtype) {
  if (tokens.positions.is_cpu() && dtype != at::kDouble) return tokens;
  const at::NoGradGuard no_grad;
  const Tensor visible = tokens.visible.defined() ? tokens.visible : visibility(tokens);
  tokens.rotations = rotations(tables, tokens.positions, dtype);
  tokens.mask = additive_mask(visible.unsqueeze(0).unsqueeze(0), dtype);
  return tokens;
}

Tensor fused_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  at::globalContext().setSDPUseCuDNN(false);
  return at::scaled_dot_product_attention(q, k, v, mask);
}

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const PackedTokens& tokens,
                        const RotaryTables& tables, int64_t heads, int64_t kv_heads) {
  CALTROP_ASSERT(q.size(0) == tokens.count() && heads % kv_heads == 0,
                 "attention over {} tokens got {} rows, {} and {} heads", tokens.count(), q.size(0), heads,
                 kv_heads);
  if (MathMode::enabled()) return plain_attention(q, k, v, tokens, tables, heads, kv_heads);
  if (!q.is_cpu() || q.scalar_type() == at::kDouble)
    return masked_attention(q, k, v, tokens, tables, heads, kv_heads);
  if (q.scalar_type() == at::kFloat) return PackedAttention::apply(q, k, v, tokens, tables, heads, kv_heads);
  // In bf16 the operator still computes in fp32: three casts of small tensors are nothing beside attention segment by segment.
  const auto wide = [](const Tensor& x) { return x.to(at::kFloat); };
  return PackedAttention::apply(wide(q), wide(k), wide(v), tokens, tables, heads, kv_heads)
      .to(q.scalar_type());
}

}  // namespace caltrop
