// What the model says to prompts, from the very weights that are trained, with everything that reinforcement learning asks of it.
// Tested by tests/train/rollouts_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/rollout/generate.h"
#include "caltrop/text/tokenizer.h"
#include "caltrop/train/step.h"

namespace caltrop {

struct RolloutOptions : SamplingOptions {
  int64_t samples = 4;
  int64_t max_new_tokens = 32;

  RolloutOptions() { temperature = 1.0; }

  static auto fields() {
    using O = RolloutOptions;
    return std::tuple_cat(
        std::tuple{field("samples", &O::samples, 1, 1024, "responses to each prompt: the group"),
                   field("max_new_tokens", &O::max_new_tokens, 1, 1e5, "longest response in tokens")},
        SamplingOptions::fields());
  }
};

/// Sequences that are decoded at once, at most.
constexpr int64_t kRolloutSlots = 128;

struct Response {
  TokenRow
      row;  // prompt and response; the tokens of the response, the one that ended it included, are its answer
  int64_t group;             // which prompt it answers, counted within the rollout
  std::string prompt, text;  // in words
  double mean_entropy;       // nats a token, of the model's own distribution
  std::vector<float>
      log_p;   // of each answer token under the model that wrote it, at temperature 1 and nothing cut
  bool ended;  // by an end token, not by length
};

/// `samples` responses to each row of `prompts` (encode_prompt), group after group. Deterministic in the step's random streams.
/// Throws UserError for a prompt that leaves no room within the context.
std::vector<Response> roll_out(const Step& step, const std::vector<TokenRow>& prompts,
                               const Tokenizer& tokenizer, const RolloutOptions& options);

/// Their rows, to be packed: prompts that are equal are then computed once.
std::vector<TokenRow> rows_of(std::span<const Response> responses);

/// One number for each answer token of the packed responses, in the order of the batch's labels: [M] fp32.
Tensor per_label(const std::vector<std::vector<double>>& of_responses, at::Device device);

}  // namespace caltrop
