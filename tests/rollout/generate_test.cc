#include "caltrop/rollout/generate.h"

#include <ATen/ATen.h>

#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

std::vector<TokenRow> prompts() {
  std::vector<TokenRow> rows;
  for (int64_t i = 0; i < 9; ++i) {
    TokenRow row{{5, 6, 7, 8, i, 3 * i % 61}, {}};
    if (i % 2 == 0) row.ids.push_back(11);
    row.answer.resize(row.ids.size());
    rows.push_back(row);
  }
  return rows;
}

GenerateOptions options(int64_t batch, double temperature = 0) {
  GenerateOptions o;
  o.batch = batch;
  o.max_new_tokens = 10;
  o.temperature = temperature;
  return o;
}

/// Greedy continuation by the whole forward pass, token by token: slow and obvious.
std::vector<int64_t> slow_greedy(const Model& model, std::vector<int64_t> ids, int64_t count, int64_t end) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> answer;
  while (static_cast<int64_t>(answer.size()) < count) {
    const auto n = static_cast<int64_t>(ids.size());
    const PackedTokens tokens{at::tensor(ids, at::kLong), at::arange(n), {{0, n, -1, 0}}};
    const int64_t next = at::linear(model.forward(tokens), model.head())[n - 1].argmax().item<int64_t>();
    if (next == end) break;
    answer.push_back(next);
    ids.push_back(next);
  }
  return answer;
}

TEST(Generate, GreedyEqualsTheSlowWayAtAnyBatchSize) {
  const auto model = test::tiny_model(4);
  const std::vector<TokenRow> rows = prompts();
  for (const int64_t batch : {1, 4, 32}) {
    const auto answers = generate(*model, rows, {2}, options(batch), 0);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(answers[i].ids, slow_greedy(*model, rows[i].ids, 10, 2))
          << "prompt " << i << ", batch " << batch;
      EXPECT_EQ(answers[i].ended, answers[i].ids.size() < 10);
    }
  }
}

TEST(Generate, TheSameSeedDrawsTheSameAtAnyBatchSize) {
  const auto model = test::tiny_model(4);
  const auto one = generate(*model, prompts(), {2}, options(1, 1.0), 7);
  const auto many = generate(*model, prompts(), {2}, options(5, 1.0), 7);
  const auto other = generate(*model, prompts(), {2}, options(5, 1.0), 8);
  bool differs = false;
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].ids, many[i].ids);
    differs = differs || one[i].ids != other[i].ids;
  }
  EXPECT_TRUE(differs);
}

TEST(Generate, PromptsThatDoNotFitAreRefused) {
  const auto model = test::tiny_model();
  TokenRow row{std::vector<int64_t>(120, 1), std::vector<bool>(120, false)};
  EXPECT_USER_ERROR(
      generate(*model, {row}, {2}, options(1), 0),
      "generate: prompt 1 has 120 tokens; with 10 new ones it exceeds the model's context of 128");
}

}  // namespace
}  // namespace caltrop
