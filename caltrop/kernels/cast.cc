#include "caltrop/kernels/cast.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "caltrop/kernels/wide.h"

namespace caltrop {
namespace {

constexpr int64_t kBlock = 1 << 15;     // numbers handed to one task, at least
constexpr int64_t kSmallest = 1 << 17;  // below, the caches hold it until it is read

#if defined(__SSE2__)
/// REQUIRES `to` aligned to 16 bytes.
void widen(const c10::BFloat16* from, float* to, int64_t count) {
  const __m128i zero = _mm_setzero_si128();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_unpacklo_epi16(zero, eight));
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i + 4), _mm_unpackhi_epi16(zero, eight));
  }
  for (; i < count; ++i) to[i] = wide(from[i]);
  _mm_sfence();  // another thread reads what was written
}
#else
void widen(const c10::BFloat16* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = wide(from[i]);
}
#endif

}  // namespace

Tensor to_fp32(const Tensor& x) {
  const bool recorded = at::GradMode::is_enabled() && x.requires_grad();
  if (recorded || !x.is_cpu() || x.scalar_type() != at::kBFloat16 || x.numel() < kSmallest)
    return x.to(at::kFloat);
  const Tensor from = x.contiguous(), to = at::empty(x.sizes(), x.options().dtype(at::kFloat));
  const int64_t count = to.numel();
  // In blocks, because parallel_for divides wherever it likes and the processor writes past the caches at aligned places only.
  at::parallel_for(0, (count + kBlock - 1) / kBlock, 1, [&](int64_t first, int64_t last) {
    const int64_t begin = first * kBlock, end = std::min(last * kBlock, count);
    widen(from.const_data_ptr<at::BFloat16>() + begin, to.mutable_data_ptr<float>() + begin, end - begin);
  });
  return to;
}

}  // namespace caltrop
