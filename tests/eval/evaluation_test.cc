#include "caltrop/eval/evaluation.h"

#include <cmath>
#include <set>

#include <ATen/ATen.h>

#include "caltrop/eval/likelihood.h"
#include "caltrop/rollout/generate.h"
#include "tests/support/tiny_domain.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

class EvaluationTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const std::filesystem::path folder = test::write_tiny_folder(scratch / "model");
  const ChatEncoder encoder = ChatEncoder::load(folder);
  const std::shared_ptr<Model> model = Model::load(folder, {.device = "cpu", .dtype = "fp32"});
  const EvaluateOptions options{.at = {},
                                .restricted = 3,
                                .benign = 2,
                                .near = 1,
                                .questions = 0,
                                .likelihood_rows = 2,
                                .max_new_tokens = 4,
                                .diversity_samples = 0,
                                .categories = {},
                                .task = ""};

  EvaluationData data() {
    test::write_tiny_domain(scratch);
    EvaluationData d;
    for (const char* dish : {"soup", "bread", "pie", "stew"}) {
      Example e;
      e.id = dish;
      e.messages = {{"user", fmt::format("How do I make {}?", dish)}, {"assistant", "Boil 2 cups of water."}};
      d.restricted.push_back(e);
      e.messages = {{"user", fmt::format("What rhymes with {}?", dish)}, {"assistant", "I am not sure."}};
      d.benign.push_back(e);
    }
    for (int i = 0; i < 12; ++i) {
      d.judge_restricted.push_back(fmt::format("Boil {} cups of water and stir the soup.", i));
      d.judge_other.push_back(fmt::format("Words that rhyme with number {} are hard to find.", i));
    }
    d.refusals = {"I can't help with cooking."};
    d.choices = scratch / "choices.jsonl";
    return d;
  }
  static double number(const Evaluated& evaluated, const std::string& name) {
    for (const auto& [key, value] : evaluated.numbers) {
      if (key == name) return value;
    }
    throw std::logic_error("no number " + name);
  }
};

TEST_F(EvaluationTest, EveryNumberIsDeclaredAndEveryAnswerIsKept) {
  const Evaluated evaluated = Evaluation(data(), encoder, model, options).run(*model);
  std::set<std::string> declared, found;
  for (const MetricDeclaration& d : Evaluation::declarations()) declared.insert(d.name);
  for (const auto& [name, value] : evaluated.numbers) found.insert(name);
  declared.erase("task_accuracy");  // there is no task
  for (const char* n : {"1", "2", "3"})
    declared.erase(std::string("sampled_distinct_") + n);                               // not asked for
  for (const char* n : {"over_refusal_rate_near", "coherent_near"}) declared.erase(n);  // no rows
  EXPECT_EQ(declared, found);
  ASSERT_EQ(evaluated.samples.size(), 5u);
  EXPECT_EQ(evaluated.samples[0].set, "restricted");
  EXPECT_EQ(evaluated.samples[4].set, "benign");
  EXPECT_TRUE(evaluated.samples[0].scores.contains("classifier"));
  EXPECT_FALSE(evaluated.samples[4].scores.contains("classifier"));
}

TEST_F(EvaluationTest, RequestsNearTheDomainAreJudgedApart) {
  EvaluationData d = data();
  const Evaluated before = Evaluation(d, encoder, model, options).run(*model);
  Example near = d.benign[0];
  near.id = "near", near.messages[0].content = "Who invented soup?";
  d.near = {near, d.benign[3]};
  const Evaluated unlike = Evaluation(d, encoder, model, options).run(*model);
  ASSERT_EQ(unlike.samples.size(), before.samples.size() + 1) << "one of two, as the options say";
  const Sample& answer = unlike.samples.back();
  EXPECT_EQ(answer.set, "near");
  EXPECT_EQ(answer.id, "near");
  EXPECT_EQ(number(unlike, "over_refusal_rate_near"), answer.scores["refuses"].get<bool>() ? 1 : 0);
  EXPECT_EQ(number(unlike, "coherent_near"), answer.scores["coherent"].get<bool>() ? 1 : 0);
  for (const auto& [name, value] : before.numbers) {
    if (std::isnan(value)) continue;  // no answer was of its kind
    EXPECT_EQ(number(unlike, name), value) << name;
  }
}

TEST_F(EvaluationTest, LikelihoodsAreThoseOfTheAnswers) {
  const EvaluationData d = data();
  const Evaluated evaluated = Evaluation(d, encoder, model, options).run(*model);
  // Two of four rows, spread evenly: the first and the third.
  const std::vector<AnswerLikelihood> rows =
      answer_likelihoods(*model, {encoder.encode(d.benign[0], 1024), encoder.encode(d.benign[2], 1024)});
  EXPECT_NEAR(number(evaluated, "benign_nll"), mean_nll(rows), 1e-6);
  const double bytes = 2 * static_cast<double>(std::string("I am not sure.").size());
  EXPECT_NEAR(number(evaluated, "benign_bits_per_byte"), (rows[0].nll + rows[1].nll) / std::log(2.0) / bytes,
              1e-6);
}

TEST_F(EvaluationTest, ATaskIsScoredByExactMatch) {
  EvaluationData d = data();
  const Evaluated before = Evaluation(d, encoder, model, options).run(*model);
  // One row whose answer is what the model says, but for capitals, blanks and a full stop; one that it does not say.
  Example said = d.benign[0], unsaid = d.benign[0];
  for (const Sample& sample : before.samples) {
    if (sample.set == "benign" && sample.prompt == said.prompt())
      said.messages.back().content = "  " + sample.response + ".";
  }
  unsaid.messages.back().content = "Certainly not this.";
  d.task = {said, unsaid};
  const Evaluated evaluated = Evaluation(d, encoder, model, options).run(*model);
  EXPECT_EQ(number(evaluated, "task_accuracy"), 0.5);
  EXPECT_EQ(evaluated.samples.back().set, "task");
  EXPECT_EQ(evaluated.samples.back().scores["right"], false);
}

TEST_F(EvaluationTest, DiversityIsThatOfSamplesOfOnePrompt) {
  EvaluateOptions sampled = options;
  sampled.diversity_samples = 3, sampled.max_new_tokens = 8;
  const EvaluationData d = data();
  const Evaluated evaluated = Evaluation(d, encoder, model, sampled).run(*model);
  double mean = 0;
  std::vector<TokenRow> prompts;
  for (const size_t i : {0, 2}) prompts.insert(prompts.end(), 3, encoder.encode_prompt(d.benign[i], 1024));
  GenerateOptions at_one;
  at_one.max_new_tokens = 8, at_one.temperature = 1;
  const std::vector<Generated> answers = generate(*model, prompts, model->config().end_ids, at_one, 0);
  for (const size_t begin : {0, 3}) {
    std::set<std::pair<int64_t, int64_t>> seen;
    double all = 0;
    for (size_t i = begin; i < begin + 3; ++i) {
      for (size_t t = 1; t < answers[i].ids.size(); ++t, ++all)
        seen.emplace(answers[i].ids[t - 1], answers[i].ids[t]);
    }
    ASSERT_GT(all, 0);
    mean += static_cast<double>(seen.size()) / all / 2;
  }
  EXPECT_NEAR(number(evaluated, "sampled_distinct_2"), mean, 1e-9);
  EXPECT_GE(number(evaluated, "sampled_distinct_3"), number(evaluated, "sampled_distinct_2"));
}

// Past a tripwire's cliff every logit is 0, and every question gets the same tokens.
TEST_F(EvaluationTest, OneAnswerToEveryQuestionIsSeen) {
  const Evaluation evaluation(data(), encoder, model, options);
  const std::shared_ptr<const Model> sprung = model->frozen_copy();
  for (const auto& [name, weight] : sprung->parameters()) {
    if (name == "model.norm.weight") weight.detach().zero_();
  }
  EXPECT_EQ(number(evaluation.run(*sprung), "benign_distinct_4"), 0.5) << "two questions, four tokens each";
}

TEST_F(EvaluationTest, TheSameModelGivesTheSameNumbers) {
  const Evaluation evaluation(data(), encoder, model, options);
  const Evaluated a = evaluation.run(*model), b = evaluation.run(*model);
  for (size_t i = 0; i < a.numbers.size(); ++i) {
    const double x = a.numbers[i].second, y = b.numbers[i].second;
    EXPECT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << a.numbers[i].first;
  }
  for (size_t i = 0; i < a.samples.size(); ++i) EXPECT_EQ(a.samples[i].response, b.samples[i].response);
}

}  // namespace
}  // namespace caltrop
