#include "caltrop/train/rollouts.h"

#include <ATen/ATen.h>

#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

class RolloutsTest : public testing::Test {
 protected:
  const std::shared_ptr<Model> model = test::tiny_model();
  const Tokenizer tokenizer = Tokenizer::load(test::data_file("tiny-model"));
  const std::vector<TokenRow> prompts = {{{7, 8, 9}, {false, false, false}, "one"},
                                         {{7, 8, 9, 10}, {false, false, false, false}, "two"}};

  std::vector<Response> go(int64_t number) const {
    const Step step = test::make_step(*model, {"prompts"}, 2, 2, number);
    RolloutOptions options;
    options.samples = 2, options.max_new_tokens = 5;
    return roll_out(step, prompts, tokenizer, options);
  }
};

TEST_F(RolloutsTest, ARowIsThePromptAndThenTheAnswer) {
  const std::vector<Response> responses = go(0);
  ASSERT_EQ(responses.size(), 4u);
  for (size_t i = 0; i < responses.size(); ++i) {
    const Response& r = responses[i];
    const TokenRow& prompt = prompts[i / 2];
    EXPECT_EQ(r.group, static_cast<int64_t>(i / 2));
    EXPECT_EQ(r.prompt, prompt.prompt);
    EXPECT_TRUE(std::equal(prompt.ids.begin(), prompt.ids.end(), r.row.ids.begin()));
    EXPECT_EQ(r.row.answer.size(), r.row.ids.size());
    EXPECT_EQ(std::count(r.row.answer.begin(), r.row.answer.end(), true),
              static_cast<int64_t>(r.log_p.size()));
    EXPECT_FALSE(r.row.answer[prompt.ids.size() - 1]);
    EXPECT_TRUE(r.row.answer[prompt.ids.size()]);
  }
}

TEST_F(RolloutsTest, TheSameStepSaysTheSameAndAnotherSomethingElse) {
  const std::vector<Response> a = go(3), b = go(3), c = go(4);
  bool differs = false;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].row.ids, b[i].row.ids);
    differs = differs || a[i].row.ids != c[i].row.ids;
  }
  EXPECT_TRUE(differs);
}

TEST_F(RolloutsTest, NumbersATokenAreInTheOrderOfThePackedLabels) {
  const std::vector<Response> responses = go(0);
  const Batch batch = pack(rows_of(responses));
  std::vector<std::vector<double>> ids;
  for (const Response& r : responses) {
    ids.emplace_back();
    for (size_t t = 0; t < r.row.ids.size(); ++t) {
      if (r.row.answer[t]) ids.back().push_back(static_cast<double>(r.row.ids[t]));
    }
  }
  EXPECT_TRUE(at::equal(per_label(ids, at::kCPU), batch.labels.to(at::kFloat)));
}

}  // namespace
}  // namespace caltrop
