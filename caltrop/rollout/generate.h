// Batched generation from the weights as they are: continuous batching over a key-value cache, prompts'
// common beginnings computed once. Tested by tests/rollout/generate_test.cc.
#pragma once

#include <functional>
#include <vector>

#include "caltrop/data/batch.h"
#include "caltrop/model/model.h"
#include "caltrop/rollout/sampler.h"

namespace caltrop {

struct GenerateOptions : SamplingOptions {
  int64_t max_new_tokens = 48;
  int64_t batch = 32;

  static auto fields() {
    using O = GenerateOptions;
    return std::tuple_cat(
        std::tuple{field("max_new_tokens", &O::max_new_tokens, 1, 1e6, "longest answer in tokens"),
                   field("batch", &O::batch, 1, 4096, "sequences decoded at once")},
        SamplingOptions::fields());
  }
};

struct Generated {
  std::vector<int64_t> ids;                // the answer, without the token that ended it
  std::vector<float> log_probabilities;    // of each token generated, the ending one included
  bool ended = false;                      // by an end token, not by length
  int64_t end_id = -1;                     // that token
  double mean_entropy = 0, mean_top1 = 0;  // over the tokens generated
};

/// Answers to each prompt, in order. Each has its own random stream, (seed, its index), so what is drawn does
/// not depend on how prompts were batched. `on_token(prompt, id)` is called as tokens come, end tokens left
/// out. Throws UserError if a prompt leaves no room within the model's context.
std::vector<Generated> generate(const Model& model, const std::vector<TokenRow>& prompts,
                                const std::vector<int64_t>& end_ids, const GenerateOptions& options,
                                uint64_t seed, const std::function<void(size_t, int64_t)>& on_token = {});

}  // namespace caltrop
