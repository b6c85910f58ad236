#include "caltrop/rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "caltrop/kernels/softmax_sums.h"

namespace caltrop {
namespace {

/// Tokens that may be drawn and their weights under temperature.
struct Candidates {
  std::vector<int64_t> ids;
  std::vector<double> weights;
};

// A token this much less likely than the likeliest is never drawn: the whole vocabulary of such tokens weighs less than the
// last bit of a uniform number.
constexpr double kNegligible = 1e-12;

Candidates candidates(std::span<const float> logits, const SamplingOptions& options) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  const auto floor = static_cast<float>(highest + options.temperature * std::log(kNegligible));
  Candidates chosen;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= floor) chosen.ids.push_back(static_cast<int64_t>(i));
  }
  const auto likelier = [&](int64_t a, int64_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(chosen.ids.size())) {
    std::nth_element(chosen.ids.begin(), chosen.ids.begin() + options.top_k - 1, chosen.ids.end(), likelier);
    chosen.ids.resize(static_cast<size_t>(options.top_k));
  }
  if (options.top_p < 1) std::sort(chosen.ids.begin(), chosen.ids.end(), likelier);
  double total = 0;
  for (const int64_t id : chosen.ids) {
    chosen.weights.push_back(std::exp((logits[static_cast<size_t>(id)] - highest) / options.temperature));
    total += chosen.weights.back();
  }
  if (options.top_p < 1) {
    double sum = 0;
    size_t keep = 0;
    while (keep < chosen.ids.size() && sum < options.top_p * total) sum += chosen.weights[keep++];
    chosen.ids.resize(std::max<size_t>(1, keep));
    chosen.weights.resize(chosen.ids.size());
  }
  return chosen;
}

}  // namespace

Sampled sample(std::span<const float> logits, std::span<const int64_t> seen, const SamplingOptions& options,
               RandomStream& random) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  const auto [sum, weighted] = softmax_sums(logits.data(), static_cast<int64_t>(logits.size()), highest);
  const double log_sum = std::log(sum);

  std::vector<float> penalised;
  std::span<const float> scores = logits;
  if (options.repetition_penalty != 1.0) {
    penalised.assign(logits.begin(), logits.end());
    const auto penalty = static_cast<float>(options.repetition_penalty);
    for (const int64_t id : seen) {  // from the untouched logits, so a token seen twice is penalised once
      const float z = logits[static_cast<size_t>(id)];
      penalised[static_cast<size_t>(id)] = z > 0 ? z / penalty : z * penalty;
    }
    scores = penalised;
  }

  int64_t id = std::max_element(scores.begin(), scores.end()) - scores.begin();
  if (options.temperature > 0) {
    const Candidates chosen = candidates(scores, options);
    double at = random.uniform() * std::accumulate(chosen.weights.begin(), chosen.weights.end(), 0.0);
    size_t i = 0;
    while (i + 1 < chosen.ids.size() && at >= chosen.weights[i]) at -= chosen.weights[i++];
    id = chosen.ids[i];
  }
  return {id, static_cast<float>(logits[static_cast<size_t>(id)] - highest - log_sum),
          static_cast<float>(log_sum - weighted / sum), static_cast<float>(1.0 / sum)};
}

}  // namespace caltrop
