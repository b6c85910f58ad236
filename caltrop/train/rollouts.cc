#include "caltrop/train/rollouts.h"

#include <ATen/ATen.h>

#include "caltrop/base/error.h"

namespace caltrop {

std::vector<Response> roll_out(const Step& step, const std::vector<TokenRow>& prompts,
                               const Tokenizer& tokenizer, const RolloutOptions& options) {
  std::vector<TokenRow> asked;
  for (const TokenRow& prompt : prompts)
    asked.insert(asked.end(), static_cast<size_t>(options.samples), prompt);
  GenerateOptions generate_options;
  static_cast<SamplingOptions&>(generate_options) = options;
  generate_options.max_new_tokens = options.max_new_tokens;
  generate_options.batch = std::min<int64_t>(static_cast<int64_t>(asked.size()), kRolloutSlots);
  const Model& model = step.model();
  const std::vector<Generated> generated =
      generate(model, asked, model.config().end_ids, generate_options, step.random("rollout").next());

  std::vector<Response> responses;
  for (size_t i = 0; i < asked.size(); ++i) {
    const Generated& g = generated[i];
    Response response{asked[i],        static_cast<int64_t>(i) / options.samples,
                      asked[i].prompt, tokenizer.decode(g.ids, /*skip_special_tokens=*/true),
                      g.mean_entropy,  g.log_probabilities,
                      g.ended};
    response.row.answer.assign(response.row.ids.size(), false);
    response.row.ids.insert(response.row.ids.end(), g.ids.begin(), g.ids.end());
    if (g.ended) response.row.ids.push_back(g.end_id);
    response.row.answer.resize(response.row.ids.size(), true);
    CALTROP_ASSERT(response.log_p.size() == response.row.ids.size() - asked[i].ids.size(),
                   "{} log-probabilities of {} tokens", response.log_p.size(),
                   response.row.ids.size() - asked[i].ids.size());
    responses.push_back(std::move(response));
  }
  return responses;
}

std::vector<TokenRow> rows_of(std::span<const Response> responses) {
  std::vector<TokenRow> rows;
  for (const Response& response : responses) rows.push_back(response.row);
  return rows;
}

Tensor per_label(const std::vector<std::vector<double>>& of_responses, at::Device device) {
  std::vector<float> values;
  for (const std::vector<double>& of_response : of_responses) {
    for (const double value : of_response) values.push_back(static_cast<float>(value));
  }
  return at::tensor(values, at::kFloat).to(device);
}

}  // namespace caltrop
