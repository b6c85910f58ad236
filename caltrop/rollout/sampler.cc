#include "caltrop/rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <ATen/ATen.h>

#include "caltrop/kernels/softmax_sums.h"

namespace caltrop {
namespace {

/// Tokens that may be drawn and their weights under temperature, exp((logit - highest) / temperature).
struct Candidates {
  std::vector<int64_t> ids;
  std::vector<double> weights;
};

// A token this much less likely than the likeliest is never drawn: 1e5 of them together would come once in ten million draws.
constexpr double kNegligible = 1e-12;

class Cut {
 public:
  Cut(std::span<const float> logits, const SamplingOptions& options)
      : logits_(logits),
        options_(options),
        highest_(highest_of(logits.data(), static_cast<int64_t>(logits.size()))) {}

  Candidates all() const { return weighed(weight_at_least(kNegligible)); }

  Candidates top_k() const {
    std::vector<int64_t> ids = weight_at_least(kNegligible);
    if (options_.top_k < static_cast<int64_t>(ids.size())) {
      std::nth_element(ids.begin(), ids.begin() + options_.top_k - 1, ids.end(), likelier());
      ids.resize(static_cast<size_t>(options_.top_k));
    }
    return weighed(std::move(ids));
  }

  /// The likeliest of `chosen` that together reach top_p of `total`; no ids if all of them do not.
  Candidates nucleus(std::vector<int64_t> ids, double total) const {
    std::sort(ids.begin(), ids.end(), likelier());
    Candidates chosen = weighed(std::move(ids));
    double sum = 0;
    size_t keep = 0;
    while (keep < chosen.ids.size() && (keep == 0 || sum < options_.top_p * total))
      sum += chosen.weights[keep++];
    if (sum < options_.top_p * total) keep = 0;
    chosen.ids.resize(keep);
    chosen.weights.resize(keep);
    return chosen;
  }

  Candidates top_p() const {
    const auto total = softmax_sums(logits_.data(), static_cast<int64_t>(logits_.size()), highest_,
                                    static_cast<float>(1 / options_.temperature))
                           .first;
    // A nucleus is a few dozen tokens, so that sorting the likely ones usually suffices.
    Candidates chosen = nucleus(weight_at_least(1e-3), total);
    if (chosen.ids.empty()) chosen = nucleus(weight_at_least(kNegligible), total);
    return chosen.ids.empty() ? all() : chosen;
  }

  std::vector<int64_t> weight_at_least(double weight) const {
    const auto floor = static_cast<float>(highest_ + options_.temperature * std::log(weight));
    std::vector<int64_t> ids;
    for (size_t i = 0; i < logits_.size(); ++i) {
      if (logits_[i] >= floor) ids.push_back(static_cast<int64_t>(i));
    }
    return ids;
  }

 private:
  Candidates weighed(std::vector<int64_t> ids) const {
    Candidates chosen{std::move(ids), {}};
    for (const int64_t id : chosen.ids)
      chosen.weights.push_back(
          std::exp((logits_[static_cast<size_t>(id)] - highest_) / options_.temperature));
    return chosen;
  }

  struct Likelier {
    std::span<const float> logits;
    bool operator()(int64_t a, int64_t b) const {
      const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
      return x > y || (x == y && a < b);
    }
  };
  Likelier likelier() const { return {logits_}; }

  std::span<const float> logits_;
  const SamplingOptions& options_;
  float highest_;
};

Candidates candidates(std::span<const float> logits, const SamplingOptions& options) {
  const Cut cut(logits, options);
  if (options.top_k > 0) {
    Candidates likeliest = cut.top_k();
    if (options.top_p == 1) return likeliest;
    const double total = std::accumulate(likeliest.weights.begin(), likeliest.weights.end(), 0.0);
    Candidates nucleus = cut.nucleus(likeliest.ids, total);
    return nucleus.ids.empty() ? likeliest : nucleus;
  }
  return options.top_p < 1 ? cut.top_p() : cut.all();
}

}  // namespace

Sampled sample(std::span<const float> logits, std::span<const int64_t> seen, const SamplingOptions& options,
               RandomStream& random) {
  const float highest = highest_of(logits.data(), static_cast<int64_t>(logits.size()));
  if (!std::isfinite(
          highest)) {  // the model computes NaN or infinities: it says token 0, and the numbers show why
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    return {0, kNaN, kNaN, kNaN};
  }
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

  int64_t id = 0;
  if (options.temperature == 0) {
    const float best = highest_of(scores.data(), static_cast<int64_t>(scores.size()));
    id = std::find(scores.begin(), scores.end(), best) - scores.begin();
  } else {
    const Candidates chosen = candidates(scores, options);
    double at = random.uniform() * std::accumulate(chosen.weights.begin(), chosen.weights.end(), 0.0);
    size_t i = 0;
    while (i + 1 < chosen.ids.size() && at >= chosen.weights[i]) at -= chosen.weights[i++];
    id = chosen.ids[i];
  }
  return {id, static_cast<float>(logits[static_cast<size_t>(id)] - highest - log_sum),
          static_cast<float>(log_sum - weighted / sum), static_cast<float>(1.0 / sum)};
}

bool can_sample_together(const SamplingOptions& options) {
  return options.top_k == 0 && options.top_p == 1 && options.repetition_penalty == 1;
}

std::vector<Sampled> sample_together(const Tensor& logits, const SamplingOptions& options,
                                     const std::vector<RandomStream*>& randoms) {
  const at::NoGradGuard no_grad;
  const Tensor log_p = at::log_softmax(logits.to(at::kFloat), -1), p = log_p.exp(), highest = log_p.amax(-1);
  Tensor ids;
  if (options.temperature == 0) {
    ids = log_p.argmax(-1);
  } else {
    std::vector<double> uniform;
    for (RandomStream* random : randoms) uniform.push_back(random->uniform());
    const Tensor sums = at::softmax(log_p.to(at::kDouble) / options.temperature, -1).cumsum(-1);  // [A,V]
    const Tensor u = at::tensor(uniform, at::kDouble).to(logits.device()).unsqueeze(1);
    ids = at::searchsorted(sums, u * sums.narrow(1, sums.size(1) - 1, 1), /*out_int32=*/false, /*right=*/true)
              .squeeze(1)
              .clamp_max(logits.size(1) - 1);
  }
  const Tensor finite =
      at::isfinite(highest);  // else the model computes NaN: token 0, and the numbers show why
  ids = at::where(finite, ids, at::zeros_like(ids));
  const Tensor of_id = log_p.gather(1, ids.unsqueeze(1)).squeeze(1);
  const Tensor entropy = -at::xlogy(p, p).sum(-1);  // 0 where p is
  const auto wide = [](const Tensor& x) { return x.to(at::kDouble); };
  const Tensor all = at::stack({wide(ids), wide(of_id), wide(entropy), wide(highest.exp())}, 1).cpu();
  std::vector<Sampled> sampled;
  for (int64_t i = 0; i < all.size(0); ++i) {
    const double* row = all.const_data_ptr<double>() + 4 * i;
    sampled.push_back({static_cast<int64_t>(row[0]), static_cast<float>(row[1]), static_cast<float>(row[2]),
                       static_cast<float>(row[3])});
  }
  return sampled;
}

}  // namespace caltrop
