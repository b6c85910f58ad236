// From logits to a token. Tested by tests/rollout/sampler_test.cc.
#pragma once

#include <span>
#include <vector>

#include "caltrop/base/fields.h"
#include "caltrop/base/random.h"
#include "caltrop/tensor/tensor.h"

namespace caltrop {

struct SamplingOptions {
  double temperature = 0.0;
  int64_t top_k = 0;
  double top_p = 1.0;
  double repetition_penalty = 1.0;

  static auto fields() {
    using O = SamplingOptions;
    return std::tuple{
        field("temperature", &O::temperature, 0, 100, "divides the logits; 0 takes the likeliest token"),
        field("top_k", &O::top_k, 0, 1e9, "sample among the k likeliest tokens; 0: among all"),
        field("top_p", &O::top_p, 0, 1,
              "sample among the likeliest tokens that together have this probability"),
        field("repetition_penalty", &O::repetition_penalty, 0.1, 100,
              "divides positive logits of tokens seen before (CTRL); 1: off"),
    };
  }
};

/// The chosen token and what the model's own distribution (temperature 1, nothing cut) says at that position.
struct Sampled {
  int64_t id;
  float log_probability;  // of id, nats
  float entropy;          // nats
  float top1;             // probability of the likeliest token
};

/// Chooses by `options`. logits [V]; `seen`: the sequence so far, for the repetition penalty. The order of
/// the cuts is that of transformers: penalty, temperature, top-k, top-p.
Sampled sample(std::span<const float> logits, std::span<const int64_t> seen, const SamplingOptions& options,
               RandomStream& random);

/// Whether sample_together() may stand for sample(): nothing is cut and nothing penalised.
bool can_sample_together(const SamplingOptions& options);

/// sample() for all rows of logits [A,V] by ATen operators on their device, so that a GPU sends a few numbers a row and no logits.
/// The same tokens as sample(), but where rounding decides. `randoms`: one a row.
std::vector<Sampled> sample_together(const Tensor& logits, const SamplingOptions& options,
                                     const std::vector<RandomStream*>& randoms);

}  // namespace caltrop
