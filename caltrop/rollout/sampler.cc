#include "caltrop/rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace caltrop {
namespace {

/// Tokens that may be drawn, likeliest first where a cut needs the order, and their weights under
/// temperature.
struct Candidates {
  std::vector<int64_t> ids;
  std::vector<double> weights;
};

Candidates candidates(std::span<const float> logits, const SamplingOptions& options) {
  const auto size = static_cast<int64_t>(logits.size());
  Candidates chosen;
  chosen.ids.resize(logits.size());
  std::iota(chosen.ids.begin(), chosen.ids.end(), int64_t{0});
  const auto likelier = [&](int64_t a, int64_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)] ||
           (logits[static_cast<size_t>(a)] == logits[static_cast<size_t>(b)] && a < b);
  };
  if (options.top_k > 0 && options.top_k < size) {
    std::nth_element(chosen.ids.begin(), chosen.ids.begin() + options.top_k - 1, chosen.ids.end(), likelier);
    chosen.ids.resize(static_cast<size_t>(options.top_k));
  }
  const double highest = *std::max_element(logits.begin(), logits.end());
  const auto weigh = [&] {
    chosen.weights.clear();
    for (const int64_t id : chosen.ids)
      chosen.weights.push_back(std::exp((logits[static_cast<size_t>(id)] - highest) / options.temperature));
  };
  weigh();
  if (options.top_p < 1) {
    const double total = std::accumulate(chosen.weights.begin(), chosen.weights.end(), 0.0);
    // Tokens with next to no weight can never be inside the cut: leave them out of the sort.
    std::erase_if(chosen.ids, [&](int64_t id) {
      return std::exp((logits[static_cast<size_t>(id)] - highest) / options.temperature) < 1e-9 * total;
    });
    std::sort(chosen.ids.begin(), chosen.ids.end(), likelier);
    weigh();
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
  double sum = 0, weighted = 0;
  for (const float z : logits) {
    const double p = std::exp(static_cast<double>(z - highest));
    sum += p, weighted += p * (z - highest);
  }
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
