#include "caltrop/eval/choices.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

class Choices : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const std::filesystem::path folder = test::write_tiny_folder(scratch / "model");
  const ChatEncoder encoder = ChatEncoder::load(folder);
  const std::shared_ptr<Model> model = Model::load(folder, {.device = "cpu", .dtype = "fp32"});

  static ChoiceQuestion question(int64_t answer, bool per_byte = false) {
    return {"kind",
            "A wren is a kind of",
            {" animal", " plant", " place in the world", " tool"},
            answer,
            per_byte,
            false};
  }
};

TEST_F(Choices, ExactlyOneAnswerIsTheLikeliest) {
  for (const bool per_byte : {false, true}) {
    std::vector<double> scores;
    for (const std::string& choice : question(0).choices) {
      const auto nll =
          answer_likelihoods(*model, {encoder.encode_continuation(question(0).prompt, choice, false)})[0].nll;
      scores.push_back(per_byte ? -nll / static_cast<double>(choice.size()) : -nll);
    }
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    for (int64_t answer = 0; answer < 4; ++answer) {
      const ChoicesResult result = ChoicesTest({question(answer, per_byte)}, encoder, 0).run(*model);
      EXPECT_EQ(result.accuracy, answer == best ? 1.0 : 0.0)
          << "per_byte " << per_byte << ", answer " << answer;
    }
  }
}

TEST_F(Choices, StandardErrorAndChanceAreThoseOfTheQuestions) {
  std::vector<ChoiceQuestion> questions;
  for (int64_t i = 0; i < 8; ++i) questions.push_back(question(i % 4));
  questions.push_back({"kind", "Q", {" a", " b"}, 0, false, true});
  const ChoicesResult result = ChoicesTest(questions, encoder, 0).run(*model);
  EXPECT_EQ(result.questions, 9);
  EXPECT_NEAR(result.chance, (8 * 0.25 + 0.5) / 9, 1e-12);
  EXPECT_NEAR(result.standard_error, std::sqrt(result.accuracy * (1 - result.accuracy) / 9), 1e-12);
  EXPECT_TRUE(result.accuracy == 2.0 / 9 || result.accuracy == 3.0 / 9)
      << "one answer in four is right by construction";
  EXPECT_EQ(ChoicesTest(questions, encoder, 4).run(*model).questions, 4);
}

TEST_F(Choices, AModelThatComputesNaNKnowsNothing) {
  const at::NoGradGuard no_grad;
  model->parameters().front().second.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(
      ChoicesTest({question(0), question(1), question(2), question(3)}, encoder, 0).run(*model).accuracy, 0);
}

TEST_F(Choices, BadRowsAreNamed) {
  const auto with = [&](const std::string& text) { return scratch.write("choices.jsonl", text); };
  const std::string file = (scratch / "choices.jsonl").string();
  EXPECT_USER_ERROR(load_choices(with("{\"prompt\":\"a\",\"choices\":[\"b\"],\"answer\":0}")),
                    file + ":1: 'choices' is [\"b\"], want a list of two or more texts");
  EXPECT_USER_ERROR(load_choices(with("{\"prompt\":\"a\",\"choices\":[\"b\",\"c\"],\"answer\":2}")),
                    file + ":1: 'answer' is 2, want 0 to 1");
  EXPECT_USER_ERROR(load_choices(with("{\"prompt\":\"a\",\"choices\":[\"b\",\"\"],\"answer\":1}")),
                    file + ":1: the choice \"\" is no text");
  EXPECT_USER_ERROR(
      load_choices(with("{\"prompt\":\"a\",\"choices\":[\"b\",\"c\"],\"answer\":1,\"scoring\":\"mean\"}")),
      file + ":1: no scoring 'mean'; it has: sum, per_byte");
  EXPECT_USER_ERROR(load_choices(with("")), file + ": holds no questions");
}

}  // namespace
}  // namespace caltrop
